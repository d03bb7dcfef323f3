//! The privilege that this program is run with: what is lent to it, raising what is needed, giving
//! all of it up.

#[cfg(feature = "seccomp")]
mod seccomp;

use std::ffi::c_long;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{getresgid, getresuid, getuid, setresgid, setresuid};
use rustix::io;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// What sockets are opened with: raw ones, and options that only an administrator of the network
/// may set.
const OF_USE: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_ADMIN);

/// What may have to be kept of that, the least first.
const KEPT: [CapabilitySet; 4] =
    [CapabilitySet::empty(), CapabilitySet::NET_RAW, CapabilitySet::NET_ADMIN, OF_USE];

/// Privilege that could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// A user or group id.
    #[error("cannot give up the user id of the program ({})", .0.desc())]
    Identity(Errno),
    /// Capabilities.
    #[error("cannot give up capabilities ({})", .0.desc())]
    Capabilities(Errno),
    /// `PR_SET_NO_NEW_PRIVS`.
    #[error("cannot renounce new privileges ({})", .0.desc())]
    NoNewPrivileges(Errno),
    /// The filter of system calls.
    #[cfg(feature = "seccomp")]
    #[error(
        "cannot confine the program to its system calls ({0}); a build with --no-default-features --features cli does without"
    )]
    Confinement(#[from] seccompiler::Error),
}

impl From<io::Errno> for PrivilegeError {
    fn from(errno: io::Errno) -> Self {
        Self::Capabilities(Errno::from_raw(errno.raw_os_error()))
    }
}

/// True when the program may open raw sockets and its caller may not: by a capability of its file,
/// or setuid.
///
/// A caller with `CAP_NET_RAW` of his own is root, or hands it down as an ambient capability; what
/// he hands down otherwise, through an inheritable one, counts as lent as well (capabilities(7)).
pub fn is_lent() -> bool {
    const RAW: CapabilitySet = CapabilitySet::NET_RAW;
    let permitted = thread::capabilities(None).is_ok_and(|sets| sets.permitted.contains(RAW));
    let ambient = thread::capability_is_in_ambient_set(RAW) == Ok(true);
    permitted && !ambient && !getuid().is_root()
}

/// Gives up for good the user and the group that a setuid or setgid program runs as. Sockets belong
/// to the user who opens them, and rules of firewalls and of routing go by that user (`meta skuid`,
/// `ip rule … uidrange`): he must be the caller.
///
/// Capabilities that sockets are opened with stay permitted, and no others. To be called while
/// there is one thread.
pub fn become_caller() -> Result<(), PrivilegeError> {
    // Ids that a user namespace does not map cannot be set, not even to what they are.
    let groups = getresgid().map_err(PrivilegeError::Identity)?;
    if [groups.effective, groups.saved] != [groups.real; 2] {
        setresgid(groups.real, groups.real, groups.real).map_err(PrivilegeError::Identity)?;
    }
    let users = getresuid().map_err(PrivilegeError::Identity)?;
    if [users.effective, users.saved] == [users.real; 2] {
        return Ok(());
    }
    renounce_execve(); // while there is CAP_SETPCAP
    // Or all capabilities would be gone with the user id. Where securebits(7) forbid it, they are.
    let _ = prctl::set_keepcaps(true);
    setresuid(users.real, users.real, users.real).map_err(PrivilegeError::Identity)?;
    let sets = thread::capabilities(None)?;
    let (effective, permitted) = (CapabilitySet::empty(), sets.permitted & OF_USE);
    thread::set_capabilities(None, CapabilitySets { effective, permitted, ..sets })?;
    Ok(())
}

/// Makes effective what this process is permitted to.
///
/// A file capability set with `+p` leaves that to the program. (With `+ep`, execve itself fails
/// where the bounding set lacks the capability, as in many containers.) Whether it worked is seen
/// when a raw socket is opened.
pub fn raise() {
    let Ok(sets) = thread::capabilities(None) else { return };
    let effective = sets.effective | sets.permitted & OF_USE;
    if effective != sets.effective {
        let _ = thread::set_capabilities(None, CapabilitySets { effective, ..sets });
    }
}

/// Gives up for good what [`raise`] raised and all other privilege: capabilities in all sets, new
/// ones by execve. What is left may be done by the caller himself. No core is dumped: a file made
/// by a privileged program is not for everybody's eyes.
///
/// Keeps the least of the capabilities with which `suffices` is true, and says which they are. To
/// be called while there is one thread, as the caller.
pub fn relinquish(suffices: impl Fn() -> bool) -> Result<CapabilitySet, PrivilegeError> {
    renounce_execve();
    thread::clear_ambient_capability_set()?;
    let kept = lower(suffices)?;
    let inheritable = CapabilitySet::empty();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
    thread::set_capabilities(None, sets)?;
    prctl::set_no_new_privs().map_err(PrivilegeError::NoNewPrivileges)?;
    // Neither can fail for want of anything.
    let _ = prctl::set_dumpable(false);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    Ok(kept)
}

/// Leaves effective the least that suffices, nothing where nothing does. What a kernel asks for is
/// seen by trying it.
fn lower(suffices: impl Fn() -> bool) -> Result<CapabilitySet, PrivilegeError> {
    let sets = thread::capabilities(None)?;
    for effective in KEPT.into_iter().filter(|set| sets.permitted.contains(*set)) {
        thread::set_capabilities(None, CapabilitySets { effective, ..sets })?;
        if suffices() {
            return Ok(effective);
        }
    }
    Ok(CapabilitySet::empty())
}

/// Empties the bounding set: execve gives nothing back, not even to root. Who has no `CAP_SETPCAP`
/// may not; he has executed his last program all the same.
fn renounce_execve() {
    let mut each = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
    // The kernel refuses the first without CAP_SETPCAP, and the one behind the last that it knows.
    each.find(|one| thread::remove_capability_from_bounding_set(*one).is_err());
}

/// Leaves this thread, and those it starts, the system calls that checks need; the others fail with
/// `EPERM` from now on. A program that needs others names them in `more`, by number
/// (`libc::SYS_…`); their arguments are not looked at. Where `CAP_NET_ADMIN` is among the `kept`
/// capabilities, nothing is left that configures the network.
#[cfg(feature = "seccomp")]
pub fn confine(kept: CapabilitySet, more: &[c_long]) -> Result<(), PrivilegeError> {
    Ok(seccomp::apply(kept.contains(CapabilitySet::NET_ADMIN), more)?)
}

/// Built without the filter of system calls.
#[cfg(not(feature = "seccomp"))]
pub fn confine(_kept: CapabilitySet, _more: &[c_long]) -> Result<(), PrivilegeError> {
    Ok(())
}
