//! Tests of the scripted peer itself: the kernel's TCP, an independent client, accepts its packets.
//! So if packets are rejected in the other tests, the program rejects them.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::tun::{Family, in_both_families};

use super::answer::Answer;
use super::malformed::ip_options;
use super::scenario::{Injection, PORT, Scenario};
use super::sent::Sent;

in_both_families!(
    the_kernel_connects_to_the_scripted_peer,
    the_kernel_takes_an_rst_ack_for_a_refusal,
    the_kernel_takes_a_port_unreachable_for_a_refusal,
    the_kernel_skips_ip_options,
    the_kernel_ignores_data_behind_a_truncated_header,
);

fn the_kernel_connects_to_the_scripted_peer(family: Family) {
    let (stream, sent) = connect(family, |syn| vec![syn.syn_ack().into()]);
    drop(stream.expect("the handshake completes"));
    let [syn, ack, ..] = &sent[..] else {
        panic!("two packets of the handshake at least: {sent:#?}")
    };
    assert_eq!([syn.flag_names(), ack.flag_names()], ["SYN", "ACK"]);
    assert_eq!(
        (syn.source, syn.destination, syn.destination_port),
        (family.ours(), family.peer(), PORT)
    );
    let syn_ack = syn.syn_ack();
    assert_eq!(
        (ack.sequence, ack.acknowledgement),
        (syn_ack.acknowledgement, syn_ack.sequence.wrapping_add(1))
    );
    assert!(syn.checksum_holds && ack.checksum_holds);
}

#[track_caller]
fn assert_refused(connected: io::Result<TcpStream>) {
    let error = connected.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

fn the_kernel_takes_an_rst_ack_for_a_refusal(family: Family) {
    let (refused, sent) = connect(family, |syn| vec![syn.rst_ack().into()]);
    assert_refused(refused);
    assert_eq!(sent.len(), 1, "{sent:#?}");
}

fn the_kernel_takes_a_port_unreachable_for_a_refusal(family: Family) {
    let (kind, code) = match family {
        Family::V4 => (3, 3),
        Family::V6 => (1, 4),
    };
    let (refused, _) =
        connect(family, move |syn| vec![syn.icmp(family.router(), kind, code).into()]);
    assert_refused(refused);

    let (refused, _) = connect(family, move |syn| {
        vec![syn.icmp(family.router(), kind, code).quoting_only(8).into()]
    });
    assert_refused(refused);
}

fn the_kernel_skips_ip_options(family: Family) {
    let (stream, _) = connect(family, move |syn| {
        vec![Answer { ip_options: ip_options(family), ..syn.syn_ack() }.into()]
    });
    stream.expect("the handshake completes");
}

fn the_kernel_ignores_data_behind_a_truncated_header(family: Family) {
    let (stream, _) = connect(family, |syn| {
        vec![
            Answer { cut_to: Some(12), ..syn.syn_ack() }.into(),
            Injection::from(syn.syn_ack()).after(Duration::from_millis(50)),
        ]
    });
    let mut stream = stream.expect("the sound answer completes the handshake");
    stream.set_nonblocking(true).expect("a socket");
    let nothing = stream.read(&mut [0; 1]).expect_err("no data came");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
}

/// A connection by the kernel, answered by the script at its first SYN.
fn connect(
    family: Family,
    mut answers: impl FnMut(&Sent) -> Vec<Injection> + Send + 'static,
) -> (io::Result<TcpStream>, Vec<Sent>) {
    let scenario = Scenario::new(family).on_syn(move |syns| match syns {
        [first] => answers(first),
        _ => Vec::new(),
    });
    let (connected, sent) = scenario.play(|namespace, _| {
        let target = SocketAddr::new(family.peer(), PORT);
        namespace.enter(|| TcpStream::connect_timeout(&target, Duration::from_mins(1)))
    });
    (connected, Sent::unrepeated(&sent))
}
