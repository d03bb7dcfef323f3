//! As a replacement for `check_tcp`: the table of `packaging/README.md`, row by row, with both
//! programs.

use std::fs;
use std::io::Read;
use std::net::{Shutdown, UdpSocket};
use std::path::Path;
use std::thread;

use crate::installed::{Installed, in_the_lab};
use crate::pool::Pool;
use lab::Direction::{In, Out};
use lab::{Capture, Direction, Outcome};

const PLUGINS: &str = "/usr/lib/nagios/plugins";

#[test]
fn both_programs_end_as_the_table_says() {
    let lab = Names::new();
    let rows = table();
    assert!(rows.len() > 40, "{rows:#?}");
    for row in rows {
        let (theirs, ours) =
            (lab.run("check_tcp", &row.call), lab.run("check_tcp_half_open", &row.call));
        let codes = [theirs.code, ours.code];
        assert_eq!(codes, [row.check_tcp, row.half_open], "{}: {theirs:?}, {ours:?}", row.call);
        assert_eq!(
            row.difference.is_empty(),
            row.check_tcp == row.half_open,
            "every difference has a reason, and nothing else has: {}",
            row.call
        );
        assert!(ours.stderr.is_empty() && !ours.stdout.is_empty(), "{ours:?}");
    }
}

#[test]
fn performance_data_means_the_same() {
    let lab = Names::new();
    for call in
        ["-H 192.0.2.7 -p 25", "-H 192.0.2.7 -p 25 -w 5 -c 9.5 -t 20", "-6 -H mail.example -p 25"]
    {
        let [theirs, ours] = ["check_tcp", "check_tcp_half_open"].map(|program| {
            let outcome = lab.run(program, &in_the_lab(call));
            let (_, data) = outcome.stdout.trim().split_once('|').expect("performance data");
            let fields: Vec<_> = data.split(';').map(str::to_owned).collect();
            let [time, limits @ ..] = &fields[..] else { panic!("{data}") };
            assert!(time.starts_with("time=0.") && time.ends_with('s'), "{data}");
            limits.iter().map(|limit| limit.parse::<f64>().ok()).collect::<Vec<_>>()
        });
        assert_eq!(theirs, ours, "warning, critical, least, most of {call}");
        assert_eq!(ours.len(), 4);
    }
}

/// The comparison in README.md and the picture there.
#[test]
fn a_half_open_check_takes_three_packets_and_check_tcp_six_and_a_connection() {
    let lab = Names::new();
    let server = &lab.pool.lab.server;
    let listener = server.listen("198.18.0.7:80".parse().expect("an endpoint"));
    listener.set_nonblocking(true).expect("a listener of ours");
    let call = "-H 198.18.0.7 -p 80";

    let capture = server.capture("server0");
    assert_eq!(lab.run("check_tcp_half_open", call).code, 0);
    let three = [(In, "SYN"), (Out, "SYN+ACK"), (In, "RST")];
    assert_eq!(flags(&capture), three.map(|(side, flags)| (side, flags.to_owned())));
    listener.accept().expect_err("a half-open check leaves nothing to accept");

    let capture = server.capture("server0");
    assert_eq!(lab.run("check_tcp", call).code, 0);
    let (mut connection, _) = listener.accept().expect("check_tcp connects");
    connection.set_nonblocking(false).expect("a socket of ours");
    assert_eq!(connection.read(&mut [0]).expect("the end of the connection"), 0);
    connection.shutdown(Shutdown::Write).expect("a connection of ours");
    let crossed = flags(&capture);
    let sent_by = |side| {
        let of_side = crossed.iter().filter(move |(direction, _)| *direction == side);
        of_side.map(|(_, flags)| &**flags).collect::<Vec<_>>()
    };
    assert_eq!(sent_by(In), ["SYN", "ACK", "FIN+ACK", "ACK"]);
    // A server that is slow to close acknowledges the FIN separately.
    let answers: Vec<_> = sent_by(Out).into_iter().filter(|flags| *flags != "ACK").collect();
    assert_eq!(answers, ["SYN+ACK", "FIN+ACK"]);
}

fn flags(capture: &Capture) -> Vec<(Direction, String)> {
    capture.segments().into_iter().map(|segment| (segment.direction, segment.flags)).collect()
}

/// A row of the table: a call, the exit codes of both programs, and why they differ.
#[derive(Debug)]
struct Row {
    call: String,
    check_tcp: i32,
    half_open: i32,
    difference: String,
}

fn table() -> Vec<Row> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/README.md");
    let text = in_the_lab(&fs::read_to_string(readme).expect("packaging/README.md"));
    let (_, text) = text.split_once("| call | check_tcp |").expect("the table's head");
    let rows = text.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [call, check_tcp, half_open, difference] = cells[..] else { panic!("{line}") };
        Row {
            call: call.trim_matches('`').to_owned(),
            check_tcp: check_tcp.parse().expect("an exit code"),
            half_open: half_open.parse().expect("an exit code"),
            difference: difference.to_owned(),
        }
    })
    .collect()
}

/// The pool, and names for its servers.
struct Names {
    pool: Pool,
    installed: Installed,
}

impl Names {
    fn new() -> Self {
        let installed = Installed::new();
        let hosts = "198.18.0.7 mail.example\n2001:db8:1::7 mail.example six.example\n";
        installed.write("hosts", hosts);
        installed.write("nsswitch.conf", "hosts: files dns\n");
        installed.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
        let pool = Pool::new();
        let service = pool.lab.client.enter(|| UdpSocket::bind("127.0.0.1:53"));
        deny_names(service.expect("a free port"));
        Self { pool, installed }
    }

    /// The call is split into words as by a shell.
    fn run(&self, program: &str, call: &str) -> Outcome {
        let mount = "for file in hosts nsswitch.conf resolv.conf; do mount --bind \"$0/$file\" /etc/$file || exit 99; done;";
        let script = format!("{mount} exec {PLUGINS}/{program} {call}");
        let here = self.installed.path("").display().to_string();
        self.pool.lab.client.outcome(self.installed.command(&["sh", "-c", &script, &here]))
    }
}

/// Answers every question with "no such name" (RFC 1035 §4.1.1).
fn deny_names(service: UdpSocket) {
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, asker)) = service.recv_from(&mut message) {
            message[2..4].copy_from_slice(&[0x81, 0x83]);
            let _ = service.send_to(&message[..length], asker);
        }
    });
}
