//! The lab itself: what its captures show, and whether its hosts are isolated.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use lab::{
    CLIENT_V4, CLIENT_V6, Capture, Direction, Lab, ROUTED_V4, ROUTED_V6, SERVER_V4, SERVER_V6,
};

fn flags(capture: &Capture) -> Vec<String> {
    capture.segments().into_iter().map(|segment| segment.flags).collect()
}

#[test]
fn a_kernel_connect_is_seen_as_its_three_packets() {
    let lab = Lab::new();
    let mut connections = Vec::new(); // open to the end: closing has packets of its own
    for (client, server) in [
        (CLIENT_V4, SERVER_V4),
        (CLIENT_V4, ROUTED_V4),
        (CLIENT_V6, SERVER_V6),
        (CLIENT_V6, ROUTED_V6),
    ] {
        let listener = lab.server.listen(SocketAddr::new(server, 8080));
        let capture = lab.server.capture("server0");
        let connect = || TcpStream::connect((server, 8080)).expect("the listener answers");
        connections.push((lab.client.enter(connect), listener));
        let connected = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");

        let segments = capture.segments();
        let [syn, syn_ack, ack] = &segments[..] else { panic!("three packets, not {segments:#?}") };
        assert_eq!([&*syn.flags, &*syn_ack.flags, &*ack.flags], ["SYN", "SYN+ACK", "ACK"]);
        assert_eq!(
            [syn.direction, syn_ack.direction, ack.direction],
            [Direction::In, Direction::Out, Direction::In]
        );
        assert_eq!((syn.source, syn.destination, syn.destination_port), (client, server, 8080));
        assert_eq!(
            (syn_ack.source, syn_ack.destination, syn_ack.source_port),
            (server, client, 8080)
        );
        assert_eq!(syn_ack.ack, syn.seq.wrapping_add(1));
        assert_eq!((ack.seq, ack.ack), (syn_ack.ack, syn_ack.seq.wrapping_add(1)));
        assert!(syn.time <= syn_ack.time && syn_ack.time <= ack.time);
        assert!(syn_ack.time < connected, "when it crossed, and not when it was read");
        assert!(syn.options.iter().any(|option| option.starts_with("MSS ")), "{:?}", syn.options);
    }
}

#[test]
fn an_icmp_error_is_seen_with_its_type_and_code() {
    let lab = Lab::new();
    lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 9 reject with icmp type admin-prohibited; tcp dport 10 reject with icmpv6 type no-route; }; }");
    let capture = lab.server.capture("server0");
    for (server, port, error) in [(SERVER_V4, 9, "ICMP 3/13"), (SERVER_V6, 10, "ICMP 1/0")] {
        lab.client.enter(|| {
            let patience = Duration::from_millis(300);
            let target = SocketAddr::new(server, port);
            TcpStream::connect_timeout(&target, patience).expect_err("rejected");
        });
        let flags = flags(&capture);
        // The kernel repeats the SYN after a second, if the machine is that busy.
        assert!(
            !flags.is_empty() && flags.chunks(2).all(|pair| pair == ["SYN", error]),
            "{flags:?}"
        );
    }
}

#[test]
fn each_lab_is_isolated() {
    let (one, other) = (Lab::new(), Lab::new());
    let _listener = one.server.listen(SocketAddr::new(SERVER_V4, 8080));
    other.client.enter(|| {
        TcpStream::connect((SERVER_V4, 8080)).expect_err("nobody listens in the other lab")
    });
    assert_eq!(other.client.run("ip", &["-o", "link"]).lines().count(), 2, "lo and client0 only");
}
