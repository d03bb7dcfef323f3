//! `/probe`: one check on demand, as `blackbox_exporter` makes it.

use std::fmt::{Display, Write};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use halfopen::local_error::LocalError;
use halfopen::resolve::{NoAddress, interface_index};
use halfopen::verdict::{LookupFailure, NoVerdict, Reason, Verdict};
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use jiff::Timestamp;
use tokio::io::{Interest, Ready};
use tokio::time::{sleep, timeout};

use super::places::Places;
use super::reply::{self, Response};
use super::resolver::Resolver;
use super::shared::{Client, Shared};
use crate::config::IpProtocol;
use crate::fleet::{Visit, VisitEnd};
use crate::metrics::Format;
use crate::probe::{Host, Refusal, Report, Request, TIMEOUT_HEADER, Terms, debug_text};
use crate::visitors::Desk;

/// What serves checks on demand.
pub struct Probes {
    terms: Mutex<Arc<Terms>>,
    desk: Arc<Desk>,
    places: Arc<Places>,
    resolver: Arc<Resolver>,
}

/// Why a check has no result.
enum Failure {
    Refused(Refusal),
    /// There is no place for it.
    Busy,
    /// The client has closed its side of the connection.
    Gone,
    /// The fault is this machine's, or its name service's.
    Fault(String),
}

/// A check on demand.
struct Probe<'a> {
    probes: &'a Probes,
    terms: &'a Terms,
    client: &'a Client,
    request: &'a Request,
    trail: Trail,
}

/// A record of what has been done.
struct Trail {
    begun: Instant,
    /// The log, for `debug=true`.
    lines: String,
    lookup: Duration,
    address: Option<IpAddr>,
}

impl Probes {
    /// Creates what serves them on these terms. Look-ups of names may take so many descriptors.
    pub(super) fn new(terms: Arc<Terms>, desk: Arc<Desk>, descriptors: usize) -> Self {
        let resolver = Arc::new(Resolver::new(descriptors));
        Self { terms: Mutex::new(terms), desk, places: Arc::default(), resolver }
    }

    /// Puts these terms into force for checks that begin from now on.
    pub fn set_terms(&self, terms: Arc<Terms>) {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Trail {
    fn note(&mut self, line: impl Display) {
        let _ = writeln!(self.lines, "ts={} {line}", Timestamp::now());
    }
}

/// Checks what a client wants to know about.
pub(super) async fn probe(parts: Parts, shared: Arc<Shared>) -> Response {
    let Some(client) = parts.extensions.get::<Client>() else {
        return reply::text(StatusCode::INTERNAL_SERVER_ERROR, "no client\n");
    };
    let (probes, terms) = (&shared.probes, shared.probes.terms());
    let header = parts.headers.get(TIMEOUT_HEADER).map(HeaderValue::as_bytes);
    let query = parts.uri.query().unwrap_or_default();
    let request = match Request::parse(query, header, &terms) {
        Ok(request) => request,
        Err(refusal) => return failed(&Failure::Refused(refusal), ""),
    };
    let (begun, lines) = (Instant::now(), String::new());
    let trail = Trail { begun, lines, lookup: Duration::ZERO, address: None };
    let mut probe = Probe { probes, terms: &terms, client, request: &request, trail };
    let result = probe.attend().await;
    let Trail { begun, lookup, address, lines } = probe.trail;
    let verdict = match result {
        Ok(verdict) => verdict,
        Err(failure) => return failed(&failure, if request.debug { &lines } else { "" }),
    };
    let (duration, timeout) = (begun.elapsed(), request.timeout);
    let metrics = Report { address, lookup, duration, timeout, verdict }.metrics();
    if request.debug {
        return reply::text(StatusCode::OK, debug_text(&lines, &metrics, &request.module));
    }
    reply::of_type(Format::Classic.content_type(), StatusCode::OK, metrics)
}

impl Probe<'_> {
    /// Checks the target, unless the client gets no place, loses it, leaves, or has waited too
    /// long.
    async fn attend(&mut self) -> Result<Verdict, Failure> {
        let Self { probes, terms, client, request, .. } = *self;
        self.trail.note(format_args!(
            "msg=\"Beginning probe\" target={:?} timeout_seconds={}",
            request.target,
            request.timeout.as_secs_f64()
        ));
        if !terms.allow_port(request.port) {
            return Err(Failure::Refused(Refusal::NotAllowed(request.target.clone())));
        }
        let place = probes.places.take(client.group(), terms.max_in_flight);
        let mut place = place.ok_or(Failure::Busy)?;
        let lost = async {
            place.lost().await;
            Err(Failure::Busy)
        };
        let gone = async {
            client.gone().await;
            Err(Failure::Gone)
        };
        let check = self.check();
        match timeout(request.patience, first_of(first_of(check, lost), gone)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Fault("the check has not ended in time".to_owned())),
        }
    }

    async fn check(&mut self) -> Result<Verdict, Failure> {
        let Self { probes, terms, request, .. } = *self;
        let endpoint = match self.locate().await {
            Ok(endpoint) => endpoint,
            Err(no_address) => return not_located(no_address, &mut self.trail),
        };
        self.trail.address = Some(endpoint.ip());
        if !terms.allow(endpoint) {
            self.trail.note("msg=\"Not allowed\"");
            return Err(Failure::Refused(Refusal::NotAllowed(endpoint.to_string())));
        }
        let until = self.trail.begun + request.limit;
        let (engine, attempts) = (terms.engine, request.module.attempts);
        let visit = Visit { endpoint, engine, attempts, timeout: request.timeout, until };
        let ticket = probes.desk.ask(visit);
        self.trail.note(format_args!(
            "msg=\"Sending SYN\" address={endpoint} at_most={}",
            attempts.count()
        ));
        ended(ticket.answer().await, &mut self.trail)
    }

    /// Returns where the target is: at one address, which is looked up once.
    async fn locate(&mut self) -> Result<SocketAddr, NoAddress> {
        let Self { probes, client, request, .. } = *self;
        let name = match &request.host {
            Host::Address(address) => return choose(&[(*address, request.port).into()], request),
            Host::LinkLocal(address, scope) => {
                let mut endpoint = SocketAddr::new(*address, request.port);
                if let SocketAddr::V6(v6) = &mut endpoint {
                    v6.set_scope_id(interface_index(scope)?);
                }
                return choose(&[endpoint], request);
            }
            Host::Name(name) => name,
        };
        self.trail.note(format_args!("msg=\"Resolving target address\" name={name}"));
        let begun = Instant::now();
        let found = probes.resolver.look_up(name.clone(), client.group());
        let found = timeout(request.timeout, found).await;
        self.trail.lookup = begun.elapsed();
        let addresses = found.unwrap_or(Err(LookupFailure::TimedOut.into()))?;
        let address = choose(&addresses, request)?;
        self.trail.note(format_args!("msg=\"Resolved target address\" ip={}", address.ip()));
        Ok(address)
    }
}

/// Returns the first address of the family that the module prefers, or of any if it may.
fn choose(addresses: &[SocketAddr], request: &Request) -> Result<SocketAddr, NoAddress> {
    let module = &request.module;
    let is_preferred = |address: &&SocketAddr| match module.preferred {
        IpProtocol::V4 => address.is_ipv4(),
        IpProtocol::V6 => address.is_ipv6(),
    };
    let fallback = addresses.first().filter(|_| module.falls_back);
    let address = addresses.iter().find(is_preferred).or(fallback);
    let mut address = *address.ok_or(LookupFailure::NotFound)?;
    address.set_port(request.port);
    Ok(address)
}

/// Returns the result for a name without a usable address.
fn not_located(no_address: NoAddress, trail: &mut Trail) -> Result<Verdict, Failure> {
    match no_address.outcome() {
        Ok(verdict) => match &verdict.reason {
            Reason::NameNotResolved(LookupFailure::NotFound | LookupFailure::NotAName) => {
                trail.note(format_args!("msg={:?}", verdict.reason.to_string()));
                Ok(verdict)
            }
            Reason::NameNotResolved(LookupFailure::NotOneHost(address)) => {
                Err(Failure::Refused(Refusal::NotAllowed(address.to_string())))
            }
            reason => Err(Failure::Fault(reason.to_string())),
        },
        Err(error) => Err(Failure::Fault(error.to_string())),
    }
}

/// Returns the result of a check that has ended.
fn ended(end: Option<VisitEnd>, trail: &mut Trail) -> Result<Verdict, Failure> {
    let fault = |words: &str| Err(Failure::Fault(words.to_owned()));
    match end {
        Some(VisitEnd::Checked(Ok(verdict))) => {
            trail.note(format_args!(
                "msg=\"Probe ended\" state={} reason={:?} syns={}",
                verdict.state(),
                verdict.reason.to_string(),
                verdict.attempts
            ));
            match &verdict.reason {
                Reason::NoRoute(cause) => Err(Failure::Fault(cause.to_string())),
                _ => Ok(verdict),
            }
        }
        Some(VisitEnd::Checked(Err(NoVerdict::LocalError(LocalError::Broadcast(address))))) => {
            Err(Failure::Refused(Refusal::NotAllowed(address.to_string())))
        }
        Some(VisitEnd::Checked(Err(error))) => Err(Failure::Fault(error.to_string())),
        Some(VisitEnd::Isolated) => fault("nothing answers at all: this machine may be cut off"),
        Some(VisitEnd::TooLate) => {
            fault("other checks of the endpoint, or of visitors, came first for too long")
        }
        None => fault("the daemon ends"),
    }
}

/// Returns the response to a client that gets no result, with the log if it wants that.
fn failed(failure: &Failure, log: &str) -> Response {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let (status, words) = match failure {
        Failure::Refused(refusal) => (refusal.status(), refusal.to_string()),
        Failure::Busy => (unavailable, "too many checks are under way".to_owned()),
        Failure::Gone => (unavailable, "you closed your side before the answer".to_owned()),
        Failure::Fault(words) => (unavailable, words.clone()),
    };
    let mut response = reply::text(status, format!("{words}\n{log}"));
    if matches!(failure, Failure::Busy) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Returns the result of the future that ends first.
async fn first_of<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Pending => other.as_mut().poll(context),
        ready @ Poll::Ready(_) => ready,
    })
    .await
}

impl Client {
    /// Waits until the client has closed its side.
    async fn gone(&self) {
        let mut byte = [0];
        while let Ok(1..) = self.stream.peek(&mut byte).await {
            // It has sent more than its request, and may have closed its side behind that.
            let ready = self.stream.ready(Interest::READABLE).await;
            if ready.is_ok_and(Ready::is_read_closed) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
