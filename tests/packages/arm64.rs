//! The packages and the static program on a 64-bit ARM machine. QEMU emulates all of it, so that
//! the kernel, its filter of system calls and its file capabilities are those of that architecture.

use std::fs;

use crate::machine::{Machine, package, run};

/// The kernel of a machine.
fn kernel(machine: &Machine) -> String {
    let files = machine.path("/boot").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut names = files.map(|file| file.into_os_string().into_string().unwrap());
    names.find(|name| name.contains("vmlinuz")).expect("a kernel")
}

#[test]
fn the_packages_and_the_static_program_work() {
    let machine = Machine::unpack("arm64");
    let root = machine.root();
    for program in ["halfopen", "halfopend"] {
        machine.bring(&package(program, "_arm64.deb"), &format!("{program}.deb"));
    }
    machine.bring(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packages/arm64_init"), "init");
    let archive = package("halfopen", "aarch64-linux-musl.tar.gz");
    fs::create_dir(machine.path("/static")).unwrap();
    let folder = machine.path("/static");
    let to = ["--strip-components=2", "--directory", folder.to_str().unwrap()];
    run("tar", &[&["-xf", &archive][..], &to, &["--wildcards", "*/usr/*"]].concat());

    let disk = tempfile::NamedTempFile::new().unwrap();
    let disk = disk.path().to_str().unwrap();
    // The kernel and its modules need not be on the disk, which is in memory.
    let pack = "cd \"$0\" && find . -path ./boot -prune -o -path ./lib/modules -prune -o -print0 |
        cpio --null --create --format=newc --quiet >\"$1\"";
    run("sh", &["-c", pack, root, disk]);
    let hardware = ["-machine", "virt", "-cpu", "cortex-a72", "-m", "1G", "-nic", "none"];
    let screen = ["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"];
    let boot = ["-append", "console=ttyAMA0 quiet panic=-1", "-initrd", disk, "-kernel"];
    let kernel = kernel(&machine);
    let words = [&hardware[..], &screen, &boot, &[&kernel]].concat();
    let console = run("qemu-system-aarch64", &words).replace('\r', "");

    for user in ["root", "nagios"] {
        for program in ["/usr/bin/halfopen", "/static/bin/halfopen"] {
            let passed = "TCP HALF-OPEN OK - self-test: 8 of 8 claims hold on this machine";
            let passed = format!("0 {user} {program} --self-test: {passed} (engine: raw)\n");
            assert!(console.contains(&passed), "{passed}{console}");
            let name = "server.example:8025 at 127.0.0.7 closed (RST+ACK in ";
            let named = format!("2 {user} {program} server.example 8025: TCP HALF-OPEN CRITICAL");
            let named = format!("{named} - {name}");
            assert!(console.contains(&named), "{named}{console}");
        }
    }
    for (user, engine) in [("root", "raw"), ("nagios", "connect")] {
        let of_user = |line: &&str| line.starts_with(&format!("{user} {{"));
        for (event, port) in [("up", 10115), ("down", 8025)] {
            let parts = [
                format!(r#""event":"{event}","pool":"default","target":"127.0.0.7:{port}""#),
                format!(r#""engine":"{engine}""#),
            ];
            let is_event = |line: &str| parts.iter().all(|part| line.contains(part));
            assert!(console.lines().filter(of_user).any(is_event), "{user} {parts:?}: {console}");
        }
    }
}
