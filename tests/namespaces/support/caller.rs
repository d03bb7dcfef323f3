//! Who runs the program, and which privilege the program's file lends.
//!
//! In a user namespace with a single user id no other user exists. There, root without its special
//! rights (`SECBIT_NOROOT`) acts as an ordinary user: the kernel then gives it the same
//! capabilities.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::scratch::{folder_for_everybody, set_mode};
use lab::{Lab, Outcome, halfopen_path};

const NOBODY: u32 = 65_534;

/// A copy of the program that every user may run, and how to become its caller.
pub(crate) struct Caller {
    /// A program that becomes the caller, with its options; nothing for root.
    before: Vec<String>,
    pub(crate) program: PathBuf,
    /// The user and the group.
    pub(crate) id: u32,
    _folder: TempDir,
}

impl Caller {
    pub(crate) fn root(lab: &Lab) -> Self {
        let folder = folder_for_everybody();
        let program = folder.path().join("halfopen");
        // Copied by another process: a file that this one writes cannot be run while any of its
        // threads starts a program.
        lab.client.run("cp", &[halfopen_path(), program.to_str().expect("plain letters")]);
        Self { before: Vec::new(), program, id: 0, _folder: folder }
    }

    /// Root with these options of `setpriv`.
    pub(crate) fn root_with(lab: &Lab, privileges: &[&str]) -> Self {
        Self::root(lab).becoming("setpriv", privileges)
    }

    /// In a user namespace that does not own the network, with these options of `unshare`.
    pub(crate) fn in_user_namespace(lab: &Lab, options: &[&str]) -> Self {
        Self::root(lab).becoming("unshare", &[&["--user"], options].concat())
    }

    /// Without capabilities, but with a bounding set that lets a file grant some.
    pub(crate) fn user(lab: &Lab) -> Self {
        Self::user_with(lab, &["--inh-caps=-all"])
    }

    /// An ordinary user with these options of `setpriv`.
    pub(crate) fn user_with(lab: &Lab, privileges: &[&str]) -> Self {
        const ORDINARY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        const UNMAGICAL: [&str; 1] = ["--securebits=+noroot,+noroot_locked"];
        let (id, ordinary): (_, &[_]) =
            if nobody_exists() { (NOBODY, &ORDINARY) } else { (0, &UNMAGICAL) };
        Self { id, ..Self::root(lab).becoming("setpriv", &[ordinary, privileges].concat()) }
    }

    /// A user to whom a service manager gives the capability (`AmbientCapabilities=CAP_NET_RAW`).
    pub(crate) fn user_with_ambient_net_raw(lab: &Lab) -> Self {
        Self::user_with(lab, &["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw"])
    }

    /// Ordinary users with each kind of lent privilege that is possible here: setuid needs a second
    /// user.
    pub(crate) fn lent(lab: &Lab) -> Vec<Self> {
        let by_file = ["+p", "+ep"].map(|flags| Self::user(lab).with_file_capability(flags));
        let by_owner = nobody_exists().then(|| Self::user(lab).with_setuid_and_setgid());
        by_file.into_iter().chain(by_owner).collect()
    }

    /// Gives the file `CAP_NET_RAW`, by `+p` or `+ep`.
    pub(crate) fn with_file_capability(self, flags: &str) -> Self {
        let lent = format!("cap_net_raw{flags}");
        let set = Command::new("setcap").arg(lent).arg(&self.program).output();
        let set = set.expect("setcap: scripts/test installs what the tests need");
        assert!(set.status.success(), "{set:?}");
        self
    }

    /// Gives the file to root, with the bits that make it run as its owner and group.
    pub(crate) fn with_setuid_and_setgid(self) -> Self {
        assert!(
            nobody_exists(),
            "setuid needs a second user id: run the tests as root, or give their user subordinate ids (subuid(5))"
        );
        set_mode(&self.program, 0o6755);
        self
    }

    fn becoming(mut self, program: &str, options: &[&str]) -> Self {
        self.before = [&[program], options].concat().into_iter().map(str::to_owned).collect();
        self
    }

    /// Returns the program, run by this caller.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(&self.program, arguments)
    }

    /// Returns any program, run by this caller.
    pub(crate) fn command_of(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = match self.before.split_first() {
            Some((first, options)) => {
                let mut command = Command::new(first);
                command.args(options).arg(program.as_ref());
                command
            }
            None => Command::new(program.as_ref()),
        };
        command.args(arguments);
        command
    }

    pub(crate) fn check(&self, lab: &Lab, arguments: &[&str]) -> Outcome {
        lab.client.outcome(self.command(arguments))
    }
}

fn nobody_exists() -> bool {
    let mapped = fs::read_to_string("/proc/self/uid_map").expect("/proc is mounted");
    mapped.lines().any(|line| {
        let numbers: Vec<u32> =
            line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        (numbers[0]..=numbers[0] + (numbers[2] - 1)).contains(&NOBODY)
    })
}
