//! The privilege of this program: whether it is lent, raising what is needed, and giving all of it
//! up.

#[cfg(feature = "seccomp")]
mod seccomp;

use std::ffi::c_long;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{getresgid, getresuid, getuid, setresgid, setresuid};
use rustix::io;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// The capabilities for raw sockets, and for options that only an administrator of the network may
/// set.
const OF_USE: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_ADMIN);

/// The sets of them that may have to be kept, the smallest first.
const KEPT: [CapabilitySet; 4] =
    [CapabilitySet::empty(), CapabilitySet::NET_RAW, CapabilitySet::NET_ADMIN, OF_USE];

/// Why privilege could not be given up.
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

/// Returns true if the program may open raw sockets and its caller may not: it is setuid, or its
/// file has the capability.
///
/// A caller who has `CAP_NET_RAW` is root, or passes it on as an ambient capability. One that is
/// passed on by an inheritable capability counts as lent, too (capabilities(7)).
pub fn is_lent() -> bool {
    const RAW: CapabilitySet = CapabilitySet::NET_RAW;
    let permitted = thread::capabilities(None).is_ok_and(|sets| sets.permitted.contains(RAW));
    let ambient = thread::capability_is_in_ambient_set(RAW) == Ok(true);
    permitted && !ambient && !getuid().is_root()
}

/// Gives up for good the user and the group that a setuid or setgid program runs as. Firewall and
/// routing rules look at the user who opened a socket (`meta skuid`, `ip rule … uidrange`), and
/// that must be the caller.
///
/// Only the capabilities that are needed to open sockets stay permitted. Call it while there is one
/// thread.
pub fn become_caller() -> Result<(), PrivilegeError> {
    // Ids that a user namespace does not map cannot be set, not even to their own value.
    let groups = getresgid().map_err(PrivilegeError::Identity)?;
    if [groups.effective, groups.saved] != [groups.real; 2] {
        setresgid(groups.real, groups.real, groups.real).map_err(PrivilegeError::Identity)?;
    }
    let users = getresuid().map_err(PrivilegeError::Identity)?;
    if [users.effective, users.saved] == [users.real; 2] {
        return Ok(());
    }
    renounce_execve(); // while there is CAP_SETPCAP
    // Otherwise all capabilities would be lost with the user id. If securebits forbid it
    // (capabilities(7)), they are.
    let _ = prctl::set_keepcaps(true);
    setresuid(users.real, users.real, users.real).map_err(PrivilegeError::Identity)?;
    let sets = thread::capabilities(None)?;
    let (effective, permitted) = (CapabilitySet::empty(), sets.permitted & OF_USE);
    thread::set_capabilities(None, CapabilitySets { effective, permitted, ..sets })?;
    Ok(())
}

/// Makes the permitted capabilities effective.
///
/// A file capability that was set with `+p` leaves that to the program. (With `+ep`, execve itself
/// fails if the bounding set lacks the capability, as in many containers.) If it does not work, raw
/// sockets cannot be opened.
pub fn raise() {
    let Ok(sets) = thread::capabilities(None) else { return };
    let effective = sets.effective | sets.permitted & OF_USE;
    if effective != sets.effective {
        let _ = thread::set_capabilities(None, CapabilitySets { effective, ..sets });
    }
}

/// Gives up all privilege for good: capabilities in all sets, and new ones by execve. The caller
/// could do alone whatever is left. No core is dumped, because it could contain what only a
/// privileged program may read.
///
/// Keeps the smallest set of capabilities with which `suffices` is true, and returns it. Call it
/// while there is one thread, as the caller.
pub fn relinquish(suffices: impl Fn() -> bool) -> Result<CapabilitySet, PrivilegeError> {
    renounce_execve();
    thread::clear_ambient_capability_set()?;
    let kept = lower(suffices)?;
    let inheritable = CapabilitySet::empty();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
    thread::set_capabilities(None, sets)?;
    prctl::set_no_new_privs().map_err(PrivilegeError::NoNewPrivileges)?;
    // Neither needs a resource that could be missing.
    let _ = prctl::set_dumpable(false);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    Ok(kept)
}

/// Makes the smallest set effective that suffices, or none if none does. Kernels differ in what
/// they require, so it is tried.
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

/// Empties the bounding set, so that execve gives no capability back, not even to root. That takes
/// `CAP_SETPCAP`; without it, new privileges by execve are refused anyway (`PR_SET_NO_NEW_PRIVS`).
fn renounce_execve() {
    let mut each = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
    // The kernel refuses the first without CAP_SETPCAP, and the one after the last that it knows.
    each.find(|one| thread::remove_capability_from_bounding_set(*one).is_err());
}

/// Allows this thread, and those that it starts, only the system calls that checks need. Others
/// fail with `EPERM` from now on. A program that needs others lists them in `more` by number
/// (`libc::SYS_…`); they are allowed with any arguments. If `CAP_NET_ADMIN` is among the `kept`
/// capabilities, no call is allowed that configures the network.
#[cfg(feature = "seccomp")]
pub fn confine(kept: CapabilitySet, more: &[c_long]) -> Result<(), PrivilegeError> {
    Ok(seccomp::apply(kept.contains(CapabilitySet::NET_ADMIN), more)?)
}

/// Does nothing: this program was built without the filter of system calls.
#[cfg(not(feature = "seccomp"))]
pub fn confine(_kept: CapabilitySet, _more: &[c_long]) -> Result<(), PrivilegeError> {
    Ok(())
}
