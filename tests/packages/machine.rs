//! A clean machine: a minimal Debian in a folder, and the programs that run in it.

use std::collections::BTreeSet;
use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end in a minimal environment. One that hangs ends with exit code 124, one
/// that is missing with 127.
pub(crate) fn outcome(program: &str, words: &[&str]) -> Outcome {
    let mut command = Command::new("timeout");
    command.args(["600", program]).args(words).env_clear();
    command.env("LC_ALL", "C.UTF-8").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let output = command.output().expect("coreutils are there");
    Outcome {
        code: output.status.code().expect("an exit code, not a signal"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Runs a program that has to succeed, and returns its output.
pub(crate) fn run(program: &str, words: &[&str]) -> String {
    let outcome = outcome(program, words);
    assert_eq!(outcome.code, 0, "{program} {words:?}: {outcome:#?}");
    outcome.stdout
}

/// Returns the packages of halfopen of a kind, "deb" or "rpm", for this machine: of this version,
/// and of one to upgrade to.
pub(crate) fn packages(kind: &str) -> [String; 2] {
    packages_of("halfopen", kind)
}

/// Returns those of another program.
pub(crate) fn packages_of(program: &str, kind: &str) -> [String; 2] {
    let end = for_this_machine(kind);
    ["package", "package-99.0.0"].map(|folder| package_in(folder, program, &end))
}

/// Returns the package of this version of a program whose name ends like this.
pub(crate) fn package(program: &str, end: &str) -> String {
    package_in("package", program, end)
}

/// Returns the end of the names of packages of a kind, "deb" or "rpm", for this machine.
pub(crate) fn for_this_machine(kind: &str) -> String {
    let architecture = match (kind, ARCH) {
        ("deb", "x86_64") => "amd64",
        ("deb", "aarch64") => "arm64",
        (_, other) => other,
    };
    format!("{architecture}.{kind}")
}

fn package_in(folder: &str, program: &str, end: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(folder);
    let files = folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap());
    let mut names = files.map(|file| file.file_name().into_string().unwrap());
    let is_wanted = |name: &String| {
        let rest = name.strip_prefix(program).filter(|rest| rest.starts_with(['-', '_']));
        rest.is_some_and(|rest| rest.ends_with(end))
    };
    let missing =
        || panic!("no {program} {end} in {}: run scripts/test package platforms", folder.display());
    let name = names.find(is_wanted).unwrap_or_else(missing);
    folder.join(name).into_os_string().into_string().unwrap()
}

/// Returns these files of a package, and those that every package has for callers: the wrappers and
/// examples of `packaging/`.
pub(crate) fn with_those_for_callers(files: &[&str]) -> Vec<String> {
    let names = |folder: &str| -> Vec<String> {
        let entries = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).read_dir().unwrap();
        let files =
            entries.map(|entry| entry.unwrap()).filter(|e| e.file_type().unwrap().is_file());
        files.map(|file| file.file_name().into_string().unwrap()).collect()
    };
    let mut all: Vec<_> = files.iter().map(|&file| file.to_owned()).collect();
    all.extend(names("packaging/wrappers").iter().map(|name| format!("/usr/lib/halfopen/{name}")));
    let examples = names("packaging")
        .into_iter()
        .filter(|name| !["install", "halfopend.toml"].contains(&&**name));
    all.extend(examples.map(|name| format!("/usr/share/doc/halfopen/examples/{name}")));
    all.sort();
    all
}

/// A minimal Debian with a user `nagios`.
pub(crate) struct Machine {
    root: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::unpack("clean_debian")
    }

    /// Unpacks the archive of this name, which `scripts/test` has made.
    pub(crate) fn unpack(name: &str) -> Self {
        let archive = &format!("{}/{name}.tar", env!("CARGO_TARGET_TMPDIR"));
        assert!(Path::new(archive).exists(), "no {archive}: run scripts/test package platforms");
        let root = tempfile::tempdir().expect("a scratch directory");
        let folder = root.path().to_str().unwrap();
        run("tar", &["--extract", "--file", archive, "--directory", folder, "--exclude=./dev/*"]);
        Self { root }
    }

    pub(crate) fn root(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    /// Returns the path outside of a file of this machine.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Copies a file to /NAME.
    pub(crate) fn bring(&self, file: &str, name: &str) {
        fs::copy(file, self.path(name)).expect("room for a package");
    }

    /// Runs a program of this machine as one of its users, who is looked up inside the chroot.
    /// Devices are those of the outer machine, because not even root can make devices in a user
    /// namespace.
    pub(crate) fn outcome_as(&self, user: &str, words: &[&str]) -> Outcome {
        let script =
            r#"mount --rbind /dev "$0/dev" && exec chroot "$0" chroot --userspec="$1" / "${@:2}""#;
        let enter = ["--mount", "bash", "-c", script, self.root(), user];
        outcome("unshare", &[&enter, words].concat())
    }

    /// Runs a program of this machine as root; it has to succeed.
    pub(crate) fn run(&self, words: &[&str]) -> Outcome {
        let outcome = self.outcome_as("root", words);
        assert_eq!(outcome.code, 0, "{words:?}: {outcome:#?}");
        outcome
    }

    /// Returns every file on its disk, except those that package managers keep for themselves.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        let books = [
            "/var/cache",
            "/var/lib/apt",
            "/var/lib/dpkg",
            "/var/lib/rpm",
            "/var/lib/systemd", // of deb-systemd-helper
            "/var/log",
        ];
        let mut words = vec!["find", "/", "-xdev"];
        for path in books {
            words.extend(["-path", path, "-prune", "-o"]);
        }
        words.extend(["-type", "f", "-printf", "%p %M %u %g %s %T@\n", "-o"]);
        words.extend(["-printf", "%p %M %u %g %l\n"]);
        self.run(&words).stdout.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Returns the files, without folders, that are on its disk now but were not `before`, and
    /// those that are missing.
    pub(crate) fn changed_since(&self, before: &BTreeSet<String>) -> Vec<String> {
        let changed = &self.files() ^ before;
        let path = |line: &String| line.split(' ').next().map(str::to_owned);
        changed.iter().filter(|line| !line.contains(" drwx")).filter_map(path).collect()
    }
}
