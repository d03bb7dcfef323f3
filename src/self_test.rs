//! Tests over loopback whether checks work on this machine and are half-open.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::check;
use crate::engine::{EngineConfig, OpenEngine};
use crate::event::{Event, HandshakeEnd};
use crate::event_loop::PacketEvent;
use crate::local_error::in_words;
use crate::plan::{Plan, PlanError, Settings};
use crate::report::{nagios, render_packet};
use crate::signals::Signals;
use crate::status::Status;
use crate::verdict::{EndOfRun, NoVerdict, PortState};
use crate::wire::Flags;

/// How long one step may take.
const LIMIT: Duration = Duration::from_secs(2);

const NO_LOOPBACK: &str = "there is no loopback address to test on: try `ip link set lo up`, \
    and a --source of the family that -4 or -6 asks for";

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const RST_ACK: Flags = Flags(Flags::RST.0 | Flags::ACK.0);

/// Listens on every loopback address of this machine that `config` can send to, for [`self_test`].
pub fn listen(config: &EngineConfig) -> Vec<TcpListener> {
    let v4 = config.v4.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let v6 = config.v6.then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let source = config.egress.source;
    let reaches = |to: &IpAddr| source.is_none_or(|source| source.is_ipv4() == to.is_ipv4());
    let loopbacks = v4.into_iter().chain(v6).filter(reaches);
    loopbacks.filter_map(|loopback| TcpListener::bind((loopback, 0)).ok()).collect()
}

/// Runs the test with `engine` in a program that began at `start`, and writes the results. Returns
/// the status to exit with: OK if every claim holds, CRITICAL if one does not, UNKNOWN if the test
/// cannot be run.
///
/// # Errors
///
/// Returns the error of writing to `out`.
pub fn self_test(
    start: Instant,
    engine: &mut OpenEngine,
    signals: &Signals,
    listeners: &[TcpListener],
    out: &mut impl Write,
) -> io::Result<Status> {
    let mut claims = Vec::new();
    for listener in listeners {
        match test_on(start, engine, signals, listener) {
            Ok(more) => claims.extend(more),
            Err(obstacle) => return unknown(obstacle, out),
        }
    }
    if claims.is_empty() {
        return unknown(NO_LOOPBACK, out);
    }
    let held = claims.iter().filter(|claim| claim.held).count();
    let status = if held == claims.len() { Status::Ok } else { Status::Critical };
    let (all, engine) = (claims.len(), engine.name());
    let summary =
        format!("self-test: {held} of {all} claims hold on this machine (engine: {engine})");
    nagios::line(status, summary, out)?;
    for claim in &claims {
        writeln!(out, "{}: {}", if claim.held { "yes" } else { "NO " }, claim.text)?;
        for (at, packet) in &claim.packets {
            write!(out, "     ")?;
            render_packet(*at, packet, out)?;
        }
    }
    Ok(status)
}

/// Something that should be true, whether it is, and the packets that show it.
struct Claim {
    text: String,
    held: bool,
    packets: Vec<(Duration, PacketEvent)>,
}

/// Why the test cannot be run.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    NoVerdict(#[from] NoVerdict),
    #[error("cannot prepare a listener ({})", in_words(.0))]
    Listener(#[from] io::Error),
    #[error(
        "loopback is down or filtered: not even an ordinary connection to {0} succeeds ({why}); \
         try: ip link set lo up",
        why = in_words(.1)
    )]
    Loopback(SocketAddr, io::Error),
}

fn test_on(
    start: Instant,
    engine: &mut OpenEngine,
    signals: &Signals,
    listener: &TcpListener,
) -> Result<Vec<Claim>, Obstacle> {
    let open = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let mut claims = vec![check(start, engine, signals, open, PortState::Open)?];
    claims.push(Claim::of("the listener had nothing to accept", open, listener.accept().is_err()));
    let connected = TcpStream::connect_timeout(&open, LIMIT);
    let _connection = connected.map_err(|error| Obstacle::Loopback(open, error))?;
    claims.push(Claim::of("it did have a full connect, made to compare", open, accepts(listener)));

    // Bound, so that no other program listens there, but not listening.
    let silent = Socket::new(Domain::for_address(open), Type::STREAM, None)?;
    silent.bind(&SocketAddr::new(open.ip(), 0).into())?;
    if let Some(closed) = silent.local_addr()?.as_socket() {
        claims.push(check(start, engine, signals, closed, PortState::Closed)?);
    }
    Ok(claims)
}

impl Claim {
    fn of(what: &str, endpoint: SocketAddr, held: bool) -> Self {
        Self { text: format!("{endpoint} {what}"), held, packets: Vec::new() }
    }
}

/// Checks `endpoint`. Claims that its state is `wanted`, and that only the segments of a half-open
/// check were exchanged.
fn check(
    start: Instant,
    engine: &mut OpenEngine,
    signals: &Signals,
    endpoint: SocketAddr,
    wanted: PortState,
) -> Result<Claim, Obstacle> {
    let settings = Settings {
        timeout: start.elapsed() + LIMIT,
        verbosity: 3, // for the packets
        ..Settings::default()
    };
    let plan = Plan { targets: vec![endpoint.into()], settings };
    let report = check::check(plan, Ok(engine), signals, start, &mut io::sink(), None)?;
    let outcome = report.findings.into_iter().next().map(|finding| finding.outcome);
    let verdict = outcome.unwrap_or(Err(NoVerdict::Unfinished(EndOfRun::Interrupted)))?;
    let packets = report.packets;
    let crossed: Vec<_> = packets.iter().flat_map(|(_, packet)| flags(packet, endpoint)).collect();
    let segments = crossed.iter().map(Flags::to_string).collect::<Vec<_>>().join(", ");
    let half_open = match *crossed.as_slice() {
        [Flags::SYN, SYN_ACK, Flags::RST | RST_ACK] => wanted == PortState::Open,
        [Flags::SYN, RST_ACK] => wanted == PortState::Closed,
        _ => false,
    };
    Ok(Claim {
        text: format!("{endpoint} is {wanted} ({}), by {segments}", verdict.reason),
        held: verdict.state() == wanted && half_open,
        packets,
    })
}

/// Returns the flags of the segments to and from `endpoint` that `packet` shows: its own, and those
/// of the RST with which the kernel answered it. Others are late, such as a retransmission for an
/// earlier check whose RST was lost.
fn flags(packet: &PacketEvent, endpoint: SocketAddr) -> Vec<Flags> {
    match packet {
        PacketEvent::Sent(segment) if segment.destination == endpoint => vec![segment.flags],
        PacketEvent::Received(Event::Segment { segment, reset_by_kernel, .. }, _)
            if segment.source == endpoint =>
        {
            let reset = reset_by_kernel.then_some(Flags::RST);
            [Some(segment.flags), reset].into_iter().flatten().collect()
        }
        PacketEvent::SentByKernel { remote, .. } if *remote == endpoint => vec![Flags::SYN],
        PacketEvent::Received(Event::Handshake { remote, end, .. }, _) if *remote == endpoint => {
            match end {
                HandshakeEnd::Completed => vec![SYN_ACK, RST_ACK],
                HandshakeEnd::Refused => vec![RST_ACK],
                HandshakeEnd::Failed(_) | HandshakeEnd::Aborted | HandshakeEnd::GivenUp => vec![],
            }
        }
        _ => Vec::new(),
    }
}

fn accepts(listener: &TcpListener) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        if listener.accept().is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

fn unknown(cause: impl std::fmt::Display, out: &mut impl Write) -> io::Result<Status> {
    nagios::line(Status::Unknown, cause, out)?;
    Ok(Status::Unknown)
}
