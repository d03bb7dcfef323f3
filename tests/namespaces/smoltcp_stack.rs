//! An independent TCP as the target: smoltcp listens at the far end of a TUN device, and reports
//! what has reached it.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::support::tun::{Family, FarEnd, TunHost, in_both_families};
use lab::{Verdict, halfopen_path};

const OPEN: u16 = 7;
const CLOSED: u16 = 9;

in_both_families!(
    an_open_port_is_never_connected_to,
    a_closed_port_is_closed,
    open_and_closed_in_turn,
    a_connection_by_the_kernel_is_noticed,
);

/// In SYN-RECEIVED our RST sends a listener back to LISTEN (RFC 9293 §3.10.7.4): no other state is
/// ever seen.
fn an_open_port_is_never_connected_to(family: Family) {
    let host = TunHost::facing(serve);
    for _ in 0..20 {
        assert_state(&check(&host, family, OPEN), "open", 0);
    }
    let stack = host.finish();
    assert_eq!(stack.states, names([State::Listen, State::SynReceived]));
    assert_eq!(stack.last, State::Listen);
    assert_eq!(stack.handshakes_begun, 20);
}

fn a_closed_port_is_closed(family: Family) {
    let host = TunHost::facing(serve);
    for _ in 0..20 {
        assert_state(&check(&host, family, CLOSED), "closed", 2);
    }
    let stack = host.finish();
    assert_eq!((stack.states, stack.last), (names([State::Listen]), State::Listen));
}

fn open_and_closed_in_turn(family: Family) {
    let host = TunHost::facing(serve);
    for _ in 0..5 {
        assert_state(&check(&host, family, OPEN), "open", 0);
        assert_state(&check(&host, family, CLOSED), "closed", 2);
    }
    assert_eq!(host.finish().handshakes_begun, 5);
}

/// The control: a connection is noticed.
fn a_connection_by_the_kernel_is_noticed(family: Family) {
    let host = TunHost::facing(serve);
    let target = SocketAddr::new(family.peer(), OPEN);
    let stream =
        host.namespace.enter(|| TcpStream::connect_timeout(&target, Duration::from_mins(1)));
    let stream = stream.expect("smoltcp accepts");
    let stack = host.finish();
    assert!(stack.states.contains("ESTABLISHED"), "{stack:?}");
    drop(stream);
}

fn check<T: Send + 'static>(host: &TunHost<T>, family: Family, port: u16) -> Verdict {
    let mut command = Command::new(halfopen_path());
    command.args(["-o", "json", &family.peer().to_string(), &port.to_string()]);
    host.namespace.outcome(command).verdict()
}

#[track_caller]
fn assert_state(verdict: &Verdict, state: &str, exit_code: i32) {
    assert_eq!(verdict.ending(), (Some(state), exit_code), "{verdict:#?}");
    assert_eq!(verdict.tries, Some(1), "{verdict:#?}");
}

/// The states of the listener.
#[derive(Debug)]
struct Stack {
    states: BTreeSet<String>,
    last: State,
    handshakes_begun: usize,
}

/// Runs the stack: both families, one listener, and every other port is closed.
fn serve(mut far_end: FarEnd) -> Stack {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = 0x5eed;
    let mut interface = Interface::new(config, &mut far_end.device, Instant::now());
    interface.update_ip_addrs(|addresses| {
        for (family, prefix) in [(Family::V4, 24), (Family::V6, 64)] {
            let address = IpCidr::new(IpAddress::from(family.peer()), prefix);
            addresses.push(address).expect("room for two addresses");
        }
    });
    let mut sockets = SocketSet::new(Vec::new());
    let mut socket =
        Socket::new(SocketBuffer::new(vec![0; 4096]), SocketBuffer::new(vec![0; 4096]));
    socket.listen(OPEN).expect("nobody else listens");
    let listener = sockets.add(socket);

    let mut stack = Stack { states: BTreeSet::new(), last: State::Listen, handshakes_begun: 0 };
    loop {
        let test_goes_on = far_end.attend(Duration::MAX);
        while step(&mut interface, &mut far_end, &mut sockets) {
            stack.look(&sockets, listener);
        }
        stack.look(&sockets, listener);
        if !test_goes_on {
            return stack;
        }
    }
}

/// Reads one packet and sends what is due. Returns false if there was none.
fn step(interface: &mut Interface, far_end: &mut FarEnd, sockets: &mut SocketSet<'_>) -> bool {
    use smoltcp::iface::PollIngressSingleResult::None;
    let taken = interface.poll_ingress_single(Instant::now(), &mut far_end.device, sockets);
    interface.poll_egress(Instant::now(), &mut far_end.device, sockets);
    taken != None
}

impl Stack {
    /// One packet at a time, so that no state between two packets is missed.
    fn look(&mut self, sockets: &SocketSet<'_>, listener: SocketHandle) {
        let state = sockets.get::<Socket>(listener).state();
        self.handshakes_begun +=
            usize::from(self.last != State::SynReceived && state == State::SynReceived);
        self.last = state;
        self.states.insert(state.to_string());
    }
}

fn names<const N: usize>(states: [State; N]) -> BTreeSet<String> {
    states.map(|state| state.to_string()).into()
}
