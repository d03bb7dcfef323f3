//! Evidence in, cause out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use halfopen::attempt::SourcePort;
use halfopen::explain::{Answered, Asked, Evidence, Reply, ReplyKind, cause};
use halfopen::local_error::{LocalError, NoRoute};
use halfopen::question::{Question, QuestionKind};
use halfopen::surroundings::{AnswerDrop, NeighbourState, Surroundings};
use halfopen::verdict::{NoVerdict, Outcome, Reason, Verdict};
use halfopen::wire::IcmpError;

use crate::network::{SERVER, millis};

const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 200, 2));
const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 8)), 25);

/// Evidence about a target that has ended like this.
struct Case(Evidence);

impl Case {
    fn new(outcome: Outcome) -> Self {
        let mut evidence = Evidence::new(SERVER, Surroundings::default());
        evidence.outcome = Some(outcome);
        Self(evidence)
    }

    fn of(reason: Reason) -> Self {
        Self::new(Ok(Verdict::without_probe(reason)))
    }

    fn silent() -> Self {
        Self::of(Reason::NoAnswer { syns: 3, waited: millis(2000) })
    }

    /// The check was answered past this many routers, with this window.
    fn answered(mut self, routers: u8, window: u16) -> Self {
        self.0.answer = Some(Answered { hop_limit: 64 - routers, window });
        self
    }

    fn question(
        mut self,
        kind: QuestionKind,
        port: u16,
        hop_limit: Option<u8>,
        reply: Option<(ReplyKind, u8)>,
    ) -> Self {
        let remote = SocketAddr::new(SERVER.ip(), port);
        let question =
            Question { kind, id: 7, remote, source: SourcePort::Fresh(3), hop_limit, number: 1 };
        let reply = reply.map(|(kind, routers)| Reply {
            after: millis(1),
            hop_limit: Some(64 - routers),
            kind,
        });
        self.0.asked.push(Asked { question, at: Duration::ZERO, local: None, reply });
        self
    }

    fn ack(self, limit: Option<u8>, reply: Option<(ReplyKind, u8)>) -> Self {
        self.question(QuestionKind::Ack, SERVER.port(), limit, reply)
    }

    fn acks(self, count: usize, limit: Option<u8>) -> Self {
        (0..count).fold(self, |case, _| case.ack(limit, None))
    }

    fn syn(self, limit: u8, reply: Option<(ReplyKind, u8)>) -> Self {
        self.question(QuestionKind::Syn, SERVER.port(), Some(limit), reply)
    }

    fn other(self, limit: Option<u8>, reply: Option<(ReplyKind, u8)>) -> Self {
        self.question(QuestionKind::Syn, 40_001, limit, reply)
    }

    fn control(self, reply: Option<(ReplyKind, u8)>) -> Self {
        self.question(QuestionKind::Ack, 40_001, None, reply)
    }

    fn echo(self, reply: Option<(ReplyKind, u8)>) -> Self {
        self.question(QuestionKind::Echo, SERVER.port(), None, reply)
    }

    fn around(mut self, change: impl FnOnce(&mut Surroundings)) -> Self {
        change(&mut self.0.surroundings);
        self
    }

    #[track_caller]
    fn is(self, name: &str) {
        let found = cause(&self.0);
        assert_eq!(found.as_ref().map_or("none", |cause| cause.name()), name, "{:#?}", self.0);
    }
}

fn icmp(kind: u8, code: u8, from: IpAddr) -> IcmpError {
    IcmpError::new(kind, code, from).expect("an error about a port")
}

fn exceeded() -> ReplyKind {
    ReplyKind::Icmp(icmp(11, 0, ROUTER))
}

const RESET: ReplyKind = ReplyKind::Reset;
const ECHO: ReplyKind = ReplyKind::Echo;

#[test]
fn causes_of_silence() {
    let silent = Case::silent;
    let live = || silent().other(None, Some((RESET, 2))).echo(Some((ECHO, 2)));
    silent().is("unknown");
    live().is("unknown");
    live().ack(None, Some((RESET, 2))).is("filter-or-queue");
    // An ACK that is answered from elsewhere, passed on, or by a host that answers SYNs after all.
    live().ack(None, Some((RESET, 1))).is("unknown");
    live().ack(None, Some((RESET, 3))).is("unknown");
    live().ack(None, Some((RESET, 2))).syn(3, Some((exceeded(), 2))).is("unknown");
    live().ack(None, Some((RESET, 2))).syn(3, Some((ReplyKind::SynAck, 2))).is("unknown");
    live().ack(None, Some((RESET, 2))).syn(3, Some((RESET, 2))).is("unknown");
    silent().ack(None, Some((RESET, 2))).is("unknown");
    // What drops ACKs lies on a way that is as long as it looks.
    let unmeasured = || live().control(Some((RESET, 2)));
    let measured = || unmeasured().other(Some(2), Some((exceeded(), 1))).acks(1, None);
    measured().acks(5, Some(3)).is("firewall-drop");
    measured().acks(4, Some(3)).is("unknown");
    measured().acks(5, None).is("unknown");
    measured().acks(5, Some(3)).ack(Some(3), Some((exceeded(), 2))).is("unknown");
    unmeasured().acks(6, Some(3)).is("unknown");
    unmeasured().other(Some(2), None).acks(6, Some(3)).is("unknown");
    unmeasured().other(Some(2), Some((RESET, 2))).acks(6, Some(3)).is("unknown");
    // ACKs to other ports are dropped, too.
    let too_short = || live().other(Some(2), Some((exceeded(), 1)));
    too_short().acks(6, Some(3)).is("unknown");
    too_short().control(None).acks(6, Some(3)).is("unknown");
    let prohibited = ReplyKind::Icmp(icmp(3, 13, ROUTER));
    measured().acks(5, Some(3)).ack(Some(3), Some((prohibited, 1))).is("refused-on-the-way");
    let on_link = || silent().echo(Some((ECHO, 0))).control(Some((RESET, 0)));
    on_link().acks(5, Some(1)).is("firewall-drop");
}

#[test]
fn causes_if_nothing_answers() {
    let silent = Case::silent;
    let live = || silent().other(None, Some((RESET, 2))).echo(Some((ECHO, 2)));
    let quiet = |each: usize| {
        (0..each).fold(silent(), |case, _| case.ack(None, None).other(None, None).echo(None))
    };
    quiet(3).is("host-silent");
    quiet(2).is("unknown");
    quiet(2).acks(3, None).is("unknown");
    quiet(3).around(|around| around.neighbour = Some(NeighbourState::Stale)).is("host-silent");
    let unanswered = |around: &mut Surroundings| {
        around.neighbour = Some(NeighbourState::Unanswered);
    };
    quiet(1).around(unanswered).is("neighbour-silent");
    live().around(unanswered).is("unknown");
    let mut without_pings = (0..6).fold(silent(), |case, _| case.ack(None, None).other(None, None));
    without_pings.0.cannot_ask.push((QuestionKind::Echo, "not permitted".to_owned()));
    without_pings.is("host-silent");
}

#[test]
fn what_was_seen_on_this_machine_comes_first() {
    let full = |around: &mut Surroundings| around.full_accept_queue = Some((2, 1));
    Case::silent().around(full).is("accept-queue-full");
    let reverse = |around: &mut Surroundings| {
        around.drops_answers = Some(AnswerDrop::ReversePath("eth0".to_owned()));
    };
    Case::silent().around(reverse).is("this-machine");
    let dropped = |around: &mut Surroundings| around.may_have_dropped_answers = true;
    let quiet =
        (0..3).fold(Case::silent(), |case, _| case.ack(None, None).other(None, None).echo(None));
    quiet.around(dropped).is("unknown");
    Case::of(Reason::NoRoute(NoRoute::Network)).is("this-machine");
    Case::new(Err(NoVerdict::LocalError(LocalError::Random))).is("this-machine");
}

#[test]
fn damage_and_translation() {
    let mut damaged = Case::silent();
    damaged.0.damaged = 1;
    damaged.is("unknown");
    let mut damaged = Case::silent();
    damaged.0.damaged = 2;
    damaged.is("corrupt-answers");
    let mut damaged = Case::silent().echo(Some((ECHO, 2))).ack(None, Some((RESET, 2)));
    damaged.0.damaged = 1;
    damaged.is("unknown");
    let mut translated = Case::silent();
    translated.0.answered_from = Some(OTHER);
    translated.is("broken-nat");
    let no_neighbour = || Case::of(Reason::NoNeighbour(icmp(3, 1, ROUTER)));
    no_neighbour().is("neighbour-silent");
    no_neighbour().echo(Some((ECHO, 0))).is("unknown");
    Case::of(Reason::AnsweredBy(OTHER)).is("broken-nat");
    Case::of(Reason::WrongAcknowledgement).is("unknown");
    Case::of(Reason::BareAck).is("unknown");
}

#[test]
fn causes_of_a_refusal() {
    let refused = |routers| Case::of(Reason::RstAck).answered(routers, 0);
    Case::of(Reason::RstAck).is("unknown");
    refused(2).is("unknown");
    refused(2).echo(Some((ECHO, 2))).is("unknown");
    refused(2).echo(Some((ECHO, 2))).syn(3, Some((RESET, 2))).is("nobody-listens");
    refused(2).other(None, Some((RESET, 2))).syn(3, Some((RESET, 2))).is("nobody-listens");
    refused(2).syn(3, Some((RESET, 2))).is("unknown");
    refused(2).echo(Some((ECHO, 3))).syn(3, Some((RESET, 2))).is("unknown");
    refused(2).echo(Some((ECHO, 1))).syn(3, Some((RESET, 2))).is("unknown");
    refused(1).echo(Some((ECHO, 2))).syn(2, Some((exceeded(), 1))).is("refused-on-the-way");
    refused(1).echo(Some((ECHO, 2))).is("refused-on-the-way");
    refused(1).syn(2, Some((exceeded(), 1))).is("unknown");
    refused(2).echo(Some((ECHO, 2))).syn(3, Some((exceeded(), 2))).is("unknown");
    // Two ways back: which of them the refusal has taken is not known.
    let two_ways = refused(1).echo(Some((ECHO, 2))).other(None, Some((RESET, 1)));
    two_ways.syn(2, Some((exceeded(), 1))).is("unknown");
}

#[test]
fn causes_of_an_icmp_error() {
    let of = |kind, code, from| Case::of(Reason::Icmp(icmp(kind, code, from)));
    for (kind, code) in [(3, 3), (3, 13), (3, 9)] {
        of(kind, code, ROUTER).is("refused-on-the-way");
        of(kind, code, SERVER.ip()).is("refused-on-the-way");
    }
    of(11, 0, ROUTER).is("unknown");
    let unreachable = || of(3, 1, ROUTER);
    let again = ReplyKind::Icmp(icmp(3, 1, ROUTER));
    unreachable().is("unknown");
    unreachable().other(None, Some((again, 1))).is("host-silent");
    unreachable().echo(Some((ECHO, 2))).is("refused-on-the-way");
    unreachable().other(None, Some((RESET, 2))).is("refused-on-the-way");
    of(3, 1, SERVER.ip()).is("unknown");
    of(3, 0, ROUTER).is("refused-on-the-way");
}

#[test]
fn who_answers_for_an_open_port() {
    let open = |routers, window| Case::of(Reason::SynAck).answered(routers, window);
    open(2, 64_240).is("none");
    open(2, 0).is("answered-in-front");
    open(2, 64_240).echo(Some((ECHO, 2))).is("none");
    open(1, 64_240).echo(Some((ECHO, 2))).is("none");
    open(1, 64_240).echo(Some((ECHO, 2))).syn(2, Some((exceeded(), 1))).is("answered-in-front");
    open(1, 64_240)
        .echo(Some((ECHO, 2)))
        .syn(2, Some((ReplyKind::SynAck, 1)))
        .is("answered-in-front");
    open(1, 64_240).echo(Some((ECHO, 2))).syn(2, None).is("none");
    open(1, 64_240).syn(2, Some((exceeded(), 1))).is("none");
    open(2, 64_240).echo(Some((ECHO, 2))).syn(3, Some((exceeded(), 2))).is("none");
}
