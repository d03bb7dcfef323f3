//! A real `HAProxy`, through its Runtime API.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use lab::Namespace;

use super::{DOWN, DOWN_BUT_ADVERTISED, HOSTILE, OF_THE_POOL, Transition, UP};
use crate::installed::Installed;

const CONFIGURATION: &str = "
global
    stats socket SOCKET mode 600 level admin
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen web
    bind 127.0.0.1:8443
    server one 192.0.2.7:443
    server two [2001:db8::7]:443
    server three 192.0.2.7:25
";

#[test]
fn haproxy_takes_no_server_that_is_advertised_as_down() {
    let (host, installed) = (Namespace::new(), Installed::new());
    let folder = installed.folder("run");
    let socket = folder.join("admin.sock");
    let path = socket.to_str().expect("plain letters");
    let file = installed.write("haproxy.cfg", &CONFIGURATION.replace("SOCKET", path));
    let file = file.to_str().expect("plain letters");
    let mut haproxy = installed.start(&host, &["haproxy", "-db", "-f", file]);
    haproxy.until("it listens", |_| UnixStream::connect(&socket).ok());

    let state = |server: &str| state(&socket, server);
    let tell = |transition: Transition| {
        transition.tell(&host, &folder, "haproxy", &[path, "web"]);
    };
    let v6 = Transition { address: "2001:db8::7", target: HOSTILE, reason: HOSTILE, ..DOWN };
    for (transition, one, two) in [
        (UP, "no check", "no check"),
        (DOWN, "DOWN", "no check"),
        (OF_THE_POOL, "DOWN", "no check"),
        (v6, "DOWN", "DOWN"),
        (Transition { advertised: "unknown", ..UP }, "DOWN", "DOWN"),
        (DOWN_BUT_ADVERTISED, "no check", "DOWN"),
        (UP, "no check", "DOWN"),
    ] {
        tell(transition);
        assert_eq!((state("one").as_str(), state("two").as_str()), (one, two));
        assert_eq!(state("three"), "no check");
    }
    // Maintenance is the operator's.
    ask(&socket, "disable server web/one");
    tell(UP);
    assert_eq!(state("one"), "MAINT");

    let nobody = Transition { address: "192.0.2.99", ..DOWN };
    let outcome = nobody.run(&host, &folder, "haproxy", &[path, "web"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains("no server of backend web has address 192.0.2.99"),
        "{outcome:?}"
    );
    assert_ne!(DOWN.run(&host, &folder, "haproxy", &["/nonexistent", "web"]).code, 0);
}

fn ask(socket: &Path, command: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    writeln!(stream, "{command}").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

fn state(socket: &Path, server: &str) -> String {
    let table = ask(socket, "show stat");
    let mut lines = table.trim_start_matches("# ").lines().map(|line| line.split(','));
    let column = lines.next().expect("names").position(|name| name == "status").expect("a column");
    let mut row = lines.find(|row| row.clone().nth(1) == Some(server)).expect("a row");
    row.nth(column).expect("a value").to_owned()
}
