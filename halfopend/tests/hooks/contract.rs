//! What a hook finds: its environment, its input, and nothing else.

use std::fs::{self, File};
use std::os::fd::AsFd;

use halfopend::event::EventKind::Down;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::support::{Trial, commands};

#[test]
fn the_environment_is_clean() {
    let mut trial = Trial::new("env > found && touch done");
    trial.push(Down, "web.example:443");
    trial.until("it has run", |trial| trial.path("done").exists());
    let found = trial.file("found");
    let mut found: Vec<_> = found.lines().filter(|line| !line.starts_with("_=")).collect();
    found.sort_unstable();
    let folder = trial.path("").display().to_string();
    let folder = folder.trim_end_matches('/');
    // The shell's own, after its `cd`.
    let (pwd, oldpwd) = (format!("PWD={folder}"), "OLDPWD=/");
    found.retain(|line| line.trim_end_matches('/') != pwd && *line != oldpwd);
    let expected = [
        "HALFOPEN_ADDRESS=192.0.2.7",
        "HALFOPEN_ADVERTISED=down",
        "HALFOPEN_EVENT=down",
        "HALFOPEN_FROM=up",
        "HALFOPEN_POOL=web",
        "HALFOPEN_POOL_TARGETS=10",
        "HALFOPEN_POOL_UP=9",
        "HALFOPEN_PORT=443",
        "HALFOPEN_REASON=no answer to 3 SYNs in 1.5 s",
        "HALFOPEN_SEQUENCE=1",
        "HALFOPEN_STATE=filtered",
        "HALFOPEN_TARGET=web.example:443",
        "HALFOPEN_TO=down",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_object_is_on_standard_input() {
    let mut trial = Trial::new("cat > found && touch done");
    trial.push_with(Down, "a\u{7}\"b\\:1", "line\nbreak");
    trial.until("it has run", |trial| trial.path("done").exists());
    let found: serde_json::Value = serde_json::from_str(&trial.file("found")).expect("JSON");
    assert_eq!(found["time"], "1970-01-01T00:00:00.000Z");
    assert_eq!((&found["sequence"], &found["event"]), (&1.into(), &"down".into()));
    assert_eq!(found["target"], "a\u{7}\"b\\:1");
    assert_eq!(found["reason"], "line\nbreak");
}

#[test]
fn nothing_else_is_inherited() {
    // A parent may leak descriptors.
    let leaked = File::open("/dev/null").expect("there is one");
    fcntl(leaked.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).expect("its own descriptor");
    let mut trial = Trial::new("");
    let words = ["/bin/ls", "-l", "/proc/self/fd"].map(str::to_owned);
    trial.hooks.set_commands(commands(&words));
    trial.push(Down, "a:1");
    trial.until_logged(" 3 -> /proc/"); // the folder that it lists
    for line in trial.lines.iter().filter(|line| line.contains(" -> ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [.., number, "->", what] = words[..] else { panic!("{line}") };
        assert!(number == "3" || what.starts_with("pipe:"), "{:#?}", trial.lines);
    }
    let words = ["/bin/grep", "^Sig", "/proc/self/status"].map(str::to_owned);
    trial.hooks.set_commands(commands(&words));
    trial.push(Down, "b:1");
    trial.until_logged("SigIgn:");
    assert!(trial.has_logged(r"SigBlk:\t0000000000000000"), "{:#?}", trial.lines);
    // What a caller ignores, as nohup does, its children ignore; except SIGPIPE, which this test
    // ignores as a program in Rust. The C library uses 32 and 33 itself.
    let own = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let ignored = |text: &str| {
        let (_, number) = text.split_once("SigIgn:").expect("a line");
        let number = number.trim_start_matches([' ', '\\', 't', '\t']);
        u64::from_str_radix(&number[..16], 16).expect("a number") & !(1 << 12 | 3 << 31)
    };
    let line = trial.lines.iter().find(|line| line.contains("SigIgn:")).expect("see above");
    assert_eq!(ignored(line), ignored(&own));
    drop(leaked);
}

#[test]
fn a_hook_that_does_not_read_its_input_blocks_nothing() {
    let mut trial = Trial::new("echo $HALFOPEN_SEQUENCE >> log");
    // More than a pipe takes, but not more than a variable does.
    trial.push_with(Down, "a:1", &"x".repeat(70_000));
    trial.push(Down, "b:1");
    trial.until("both have run", |trial| trial.file("log") == "1\n2\n");
    trial.assert_failures(&[]);
}

#[test]
fn its_name_is_in_the_way_of_no_user() {
    let program = env!("CARGO_BIN_EXE_halfopend");
    let folder = tempfile::TempDir::new().expect("a place for temporary files");
    let link = folder.path().join("halfopend: hooks");
    std::os::unix::fs::symlink(program, &link).expect("its own folder");
    for (path, words) in [(link.as_path(), &["--version"][..]), (program.as_ref(), &["--version"])]
    {
        let outcome = std::process::Command::new(path).args(words).output().expect("it runs");
        assert!(outcome.stdout.starts_with(b"halfopend "), "{outcome:?}");
    }
    let outcome = std::process::Command::new(&link).output().expect("it runs");
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert!(said.contains("Usage: halfopend"), "{outcome:?}");
}
