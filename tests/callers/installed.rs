//! The program as packages install it, and the configuration that `packaging/` has for its callers.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::User;
use tempfile::TempDir;

use lab::{Namespace, Running, contained, halfopen_path, patience};

/// The program with its file capability, the name that its callers know, and the wrappers, mounted
/// over the machine's /usr for the programs that it starts. It also has scratch files.
pub(crate) struct Installed(TempDir);

impl Installed {
    pub(crate) fn new() -> Self {
        let installed = Self(TempDir::new().expect("a place for temporary files"));
        // For the daemons' own users.
        fs::set_permissions(installed.0.path(), Permissions::from_mode(0o755))
            .expect("its own directory");
        let usr = installed.folder("usr");
        for folder in ["bin", "lib/nagios/plugins"] {
            fs::create_dir_all(usr.join(folder)).expect("an empty directory");
        }
        installed.copy(Path::new(halfopen_path()), "usr/bin/halfopen");
        run("setcap", &["cap_net_raw+p".as_ref(), usr.join("bin/halfopen").as_ref()]);
        symlink("../../../bin/halfopen", usr.join("lib/nagios/plugins/check_tcp_half_open"))
            .expect("no such file yet");
        installed.copy(&packaging().join("wrappers"), "usr/lib/halfopen");
        // relayd's wrapper reads the port from its name.
        symlink("relayd", usr.join("lib/halfopen/relayd-25")).expect("no such file yet");
        installed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("its own directory");
        path
    }

    /// A scratch file.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("its own directory");
        fs::write(&path, text).expect("its own directory");
        path
    }

    /// Installs a program, or a folder of them. Another process writes it, because a file that is
    /// open for writing cannot be run, and a child of another test may still have it open.
    pub(crate) fn copy(&self, from: &Path, name: &str) {
        run("cp", &["--recursive".as_ref(), from.as_ref(), self.path(name).as_ref()]);
    }

    /// Builds `tests/callers/NAME.c` as a library to preload.
    pub(crate) fn library(&self, name: &str) -> String {
        let source = here().join(format!("{name}.c"));
        let library = self.path(&format!("{name}.so"));
        let options = ["-shared", "-fPIC", "-Wall", "-Werror", "-o"].map(OsStr::new);
        run("cc", &[&options[..], &[library.as_ref(), source.as_ref()]].concat());
        library.display().to_string()
    }

    /// Returns the user that a daemon changes to, and makes it the owner of these folders and their
    /// contents. It is root if this process cannot act for another user, as in a user namespace
    /// with a single id.
    pub(crate) fn user(&self, name: &str, folders: &[&str]) -> String {
        assert!(
            User::from_name(name).is_ok_and(|user| user.is_some()),
            "no user {name}: scripts/test installs what the tests need"
        );
        let mut chown = Command::new("chown");
        chown.args(["--recursive", &format!("{name}:")]).arg(self.folder("probe"));
        chown.args(folders.iter().map(|folder| self.folder(folder))).stderr(Stdio::null());
        let may = chown.status().is_ok_and(|status| status.success());
        if may { name.to_owned() } else { "root".to_owned() }
    }

    /// A command whose processes and shared memory end with it. Standard error goes to standard
    /// output.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mount = r#"
            mount -t overlay overlay -o lowerdir="$0/usr:/usr" /usr &&
            for folder in /run /dev/shm; do mount -t tmpfs tmpfs $folder || exit 99; done &&
            exec "$@" 2>&1"#;
        let folder = self.0.path().as_os_str();
        contained(mount, [folder].into_iter().chain(words.iter().map(OsStr::new)))
    }

    /// Starts such a command as a daemon.
    pub(crate) fn start(&self, host: &Namespace, words: &[&str]) -> Daemon {
        Daemon { running: host.spawn(self.command(words)) }
    }
}

/// Returns a file of `packaging/`, with the lab's addresses instead of the documentation's: every
/// address in 198.18.0.0/16 and `2001:db8:1::/64` is the server's.
pub(crate) fn snippet(name: &str) -> String {
    let path = packaging().join(name);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    in_the_lab(&text)
}

pub(crate) fn in_the_lab(text: &str) -> String {
    text.replace("192.0.2.", "198.18.0.").replace("2001:db8::", "2001:db8:1::")
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

/// Where these tests and their other files are.
pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/callers")
}

fn run(program: &str, words: &[&OsStr]) {
    let status = Command::new(program).args(words).status();
    assert!(
        status.as_ref().is_ok_and(ExitStatus::success),
        "{program} {words:?}: {status:?}: scripts/test installs what the tests need"
    );
}

/// Replaces text, and panics if there is nothing to replace.
pub(crate) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "there is no {from:?} in {text}");
    text.replace(from, to)
}

/// A running daemon, with all of its processes. They end when the value is dropped.
pub(crate) struct Daemon {
    running: Running,
}

impl Daemon {
    /// Waits until `look` finds something in the daemon's output, and returns it.
    pub(crate) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + patience();
        loop {
            let said = self.running.said();
            if let Some(found) = look(&said) {
                return found;
            }
            let ended = self.running.child.try_wait().expect("waits for its own child");
            assert!(ended.is_none(), "{what}: the daemon ended, {ended:?}: {said}");
            assert!(Instant::now() < deadline, "waited {:?}: {what}: {said}", patience());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until its output contains this, and returns the output.
    pub(crate) fn until_it_says(&mut self, words: &str) -> String {
        let what = format!("says {words:?}");
        self.until(&what, |said| said.contains(words).then(|| said.to_owned()))
    }
}
