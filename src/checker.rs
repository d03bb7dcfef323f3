//! Every target's progress: what to send next, what an answer means, when to give up.
//!
//! Pure: no sockets, no clock, no randomness of its own. Time comes in as an argument, counted from any fixed moment
//! and never backwards. The caller sends what [`Checker::poll_try`] and [`Checker::poll_reset`] ask for, feeds
//! what arrives to [`Checker::handle`], and takes outcomes from [`Checker::poll_outcome`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::fault::{Fault, Refusal};
use crate::probe::{self, Answer, Ignored, Probe, Secret};
use crate::schedule::Schedule;
use crate::verdict::{Outcome, Reason, Verdict};
use crate::wire::{IcmpError, Meaning, Quote, Segment};

/// The progress of any number of targets, each a distinct endpoint; a target is known by its index.
///
/// Invariants: a target whose stage is `Due` stands once in `due`; one that is `Waiting` has its live entry in the queue
/// of its newest try. All tries of one number wait equally long, so each queue is sorted by deadline.
pub struct Checker {
    secret: Secret,
    schedule: Schedule,
    targets: Vec<Progress>,
    by_remote: HashMap<SocketAddr, usize>,
    due: VecDeque<usize>,
    waiting: Vec<VecDeque<Wait>>,
    resets: VecDeque<Segment>,
    outcomes: VecDeque<(usize, Outcome)>,
    undecided: usize,
    ignored: BTreeMap<Ignored, usize>,
}

/// A SYN that should leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// Whose.
    pub target: usize,
    /// Where to.
    pub remote: SocketAddr,
    /// Counted from 0; each number wants a source port of its own.
    pub number: usize,
}

/// What came off the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A TCP segment.
    Segment {
        /// What it says.
        segment: Segment,
        /// The time to live or hop limit that it had left.
        hop_limit: u8,
        /// True when this machine's kernel has answered it with the RST that it calls for.
        reset_by_kernel: bool,
    },
    /// An ICMP error and what it quotes.
    Icmp(IcmpError, Quote),
}

impl Checker {
    /// A checker of `remotes`, which must be distinct.
    pub fn new(
        secret: Secret,
        schedule: Schedule,
        remotes: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let targets: Vec<_> = remotes.into_iter().map(Progress::new).collect();
        Self {
            secret,
            schedule,
            by_remote: targets.iter().enumerate().map(|(i, t)| (t.remote, i)).collect(),
            due: (0..targets.len()).collect(),
            waiting: (0..schedule.tries()).map(|_| VecDeque::new()).collect(),
            resets: VecDeque::new(),
            outcomes: VecDeque::new(),
            undecided: targets.len(),
            ignored: BTreeMap::new(),
            targets,
        }
    }

    /// The next try that is due at `now`; report back with [`Checker::sent`] or [`Checker::refused`].
    pub fn poll_try(&mut self, now: Duration) -> Option<Try> {
        self.expire(now);
        while let Some(target) = self.due.pop_front() {
            let progress = &mut self.targets[target];
            if progress.stage == Stage::Due {
                progress.begun += 1;
                return Some(Try { target, remote: progress.remote, number: progress.begun - 1 });
            }
        }
        None
    }

    /// The SYN of a try that leaves from `local`.
    pub fn syn(&self, local: SocketAddr, remote: SocketAddr) -> Segment {
        Probe::new(&self.secret, local, remote).syn()
    }

    /// The SYN of `this` left from `local` at `now`.
    pub fn sent(&mut self, this: Try, local: SocketAddr, now: Duration) {
        self.targets[this.target].sent.push(Sent { number: this.number, local, at: now });
        self.wait(this, now);
    }

    /// The SYN of `this` could not leave. The remaining tries still go out: a route, a buffer or room in the
    /// firewall's table may be back by then.
    pub fn refused(&mut self, this: Try, refusal: Refusal, now: Duration) {
        let progress = &mut self.targets[this.target];
        let hopeless = match refusal {
            Refusal::NoRoute(cause) => {
                progress.evidence = Some(Reason::NoRoute(cause));
                true
            }
            Refusal::Fault(fault) => {
                progress.fault = Some(fault);
                progress.sent.is_empty()
            }
        };
        if hopeless && this.number + 1 == self.schedule.tries() {
            self.give_up(this.target, now);
        } else {
            self.wait(this, now);
        }
    }

    /// Takes in what arrived at `now`; says why where it proves nothing.
    ///
    /// An RST is queued for every SYN+ACK of ours, also after the verdict, and for an ACK without SYN: the port is
    /// ours, so no live connection of this machine can be meant.
    pub fn handle(&mut self, arrival: &Arrival, now: Duration) -> Result<(), Ignored> {
        let handled = match arrival {
            Arrival::Segment { segment, reset_by_kernel, .. } => {
                self.handle_segment(segment, *reset_by_kernel, now)
            }
            Arrival::Icmp(error, quote) => self.handle_icmp(*error, quote, now),
        };
        if let Err(ignored) = handled {
            *self.ignored.entry(ignored).or_default() += 1;
        }
        handled
    }

    /// The next RST to send.
    pub fn poll_reset(&mut self) -> Option<Segment> {
        self.resets.pop_front()
    }

    /// The next target to have ended; each ends once.
    pub fn poll_outcome(&mut self) -> Option<(usize, Outcome)> {
        self.outcomes.pop_front()
    }

    /// When [`Checker::poll_try`] should be called at the latest; `None` when every target has ended.
    pub fn next_deadline(&mut self) -> Option<Duration> {
        if self.undecided == 0 {
            return None;
        }
        if !self.due.is_empty() {
            return Some(Duration::ZERO);
        }
        (0..self.waiting.len()).filter_map(|number| self.first_wait(number)).map(|w| w.until).min()
    }

    /// How often segments arrived that prove nothing, by why they do not.
    pub fn ignored(&self) -> &BTreeMap<Ignored, usize> {
        &self.ignored
    }

    fn handle_segment(
        &mut self,
        segment: &Segment,
        reset_by_kernel: bool,
        now: Duration,
    ) -> Result<(), Ignored> {
        let (target, sent) = self
            .find(segment.source, |sent| sent.local == segment.destination)
            .ok_or(Ignored::NotOurs)?;
        let answer = Probe::new(&self.secret, sent.local, segment.source).read(segment)?;
        if answer != Answer::RstAck && !reset_by_kernel {
            self.resets.push_back(probe::reset(segment));
        }
        match answer {
            Answer::SynAck => self.decide(target, sent, Reason::SynAck, now),
            Answer::RstAck => self.decide(target, sent, Reason::RstAck, now),
            Answer::AckWithoutSyn => self.try_another_port(target, sent),
        }
        Ok(())
    }

    fn handle_icmp(
        &mut self,
        error: IcmpError,
        quote: &Quote,
        now: Duration,
    ) -> Result<(), Ignored> {
        let (target, sent) = self
            .find(quote.remote, |sent| sent.local.port() == quote.local_port)
            .filter(|(_, sent)| {
                Probe::new(&self.secret, sent.local, quote.remote).sequence == quote.sequence
            })
            .ok_or(Ignored::IcmpNotOurs)?;
        let from_here = error.offender == sent.local.ip() && error.offender != quote.remote.ip();
        match error.meaning {
            Meaning::Closed | Meaning::Prohibited => {
                self.decide(target, sent, Reason::Icmp(error), now);
            }
            // ipv4_link_failure() and ndisc_error_report() send it when the next hop does not answer.
            Meaning::Unreachable if from_here => {
                self.lose(target, sent, Reason::NoNeighbour(error), now);
            }
            Meaning::Unreachable | Meaning::HopsExceeded => {
                self.lose(target, sent, Reason::Icmp(error), now);
            }
        }
        Ok(())
    }

    fn find(&self, remote: SocketAddr, ours: impl Fn(&Sent) -> bool) -> Option<(usize, Sent)> {
        let target = *self.by_remote.get(&remote)?;
        let sent = self.targets[target].sent.iter().find(|sent| ours(sent))?;
        Some((target, *sent))
    }

    /// An answer that is final.
    fn decide(&mut self, target: usize, sent: Sent, reason: Reason, now: Duration) {
        let verdict = Verdict {
            reason,
            round_trip: Some(now.saturating_sub(sent.at)),
            tries: self.targets[target].sent.len(),
            local: Some(sent.local),
        };
        self.end(target, Ok(verdict));
    }

    /// A try has failed in a way that may pass: the rest still go out, and the last one to fail decides.
    fn lose(&mut self, target: usize, sent: Sent, reason: Reason, now: Duration) {
        self.targets[target].evidence = Some(reason);
        if sent.number + 1 == self.schedule.tries() {
            self.give_up(target, now);
        }
    }

    /// An old connection is in the way. Our RST clears it, and the next try goes out at once; the last try is waited
    /// out, because an ACK is proven by its endpoints alone and a SYN+ACK may still be on its way.
    fn try_another_port(&mut self, target: usize, sent: Sent) {
        let progress = &mut self.targets[target];
        progress.evidence = Some(Reason::AckWithoutSyn);
        if progress.waits_for(sent.number) && progress.begun < self.schedule.tries() {
            progress.stage = Stage::Due;
            self.due.push_back(target);
        }
    }

    fn wait(&mut self, this: Try, now: Duration) {
        self.targets[this.target].stage = Stage::Waiting;
        let until = now + self.schedule.wait(this.number);
        self.waiting[this.number].push_back(Wait { until, target: this.target });
    }

    /// Ends the waits that are over at `now`.
    fn expire(&mut self, now: Duration) {
        for number in 0..self.waiting.len() {
            while let Some(wait) = self.first_wait(number).filter(|wait| wait.until <= now) {
                let progress = &mut self.targets[wait.target];
                if progress.begun == self.schedule.tries() {
                    self.give_up(wait.target, now);
                } else {
                    progress.stage = Stage::Due;
                    self.due.push_back(wait.target);
                }
            }
        }
    }

    /// The live wait of this try number that ends first; those that are no longer waited for are dropped.
    fn first_wait(&mut self, number: usize) -> Option<Wait> {
        let queue = &mut self.waiting[number];
        while let Some(&wait) = queue.front() {
            if self.targets[wait.target].waits_for(number) {
                return Some(wait);
            }
            queue.pop_front();
        }
        None
    }

    /// No try is left: what was learnt short of an answer decides, or silence.
    fn give_up(&mut self, target: usize, now: Duration) {
        let progress = &mut self.targets[target];
        let syns = progress.sent.len();
        let reason = match (progress.evidence.take(), progress.sent.first(), &progress.fault) {
            (Some(reason), _, _) => reason,
            (None, Some(first), _) => {
                Reason::NoAnswer { syns, waited: now.saturating_sub(first.at) }
            }
            (None, None, fault) => {
                let fault = fault.clone().expect("a try that was not sent was refused");
                return self.end(target, Err(fault));
            }
        };
        let local = progress.sent.last().map(|sent| sent.local);
        self.end(target, Ok(Verdict { reason, round_trip: None, tries: syns, local }));
    }

    fn end(&mut self, target: usize, outcome: Outcome) {
        let progress = &mut self.targets[target];
        if progress.stage != Stage::Ended {
            progress.stage = Stage::Ended;
            self.undecided -= 1;
            self.outcomes.push_back((target, outcome));
        }
    }
}

impl Arrival {
    /// The port of ours that it is about.
    pub fn local_port(&self) -> u16 {
        match self {
            Self::Segment { segment, .. } => segment.destination.port(),
            Self::Icmp(_, quote) => quote.local_port,
        }
    }
}

struct Progress {
    remote: SocketAddr,
    stage: Stage,
    /// Tries begun, whether or not their SYN could leave.
    begun: usize,
    sent: Vec<Sent>,
    /// The latest that the network or the routing table said, short of a final answer.
    evidence: Option<Reason>,
    /// The latest fault that kept a SYN from leaving.
    fault: Option<Fault>,
}

impl Progress {
    fn new(remote: SocketAddr) -> Self {
        Self { remote, stage: Stage::Due, begun: 0, sent: Vec::new(), evidence: None, fault: None }
    }

    /// True while try `number` is the newest and its time is not over.
    fn waits_for(&self, number: usize) -> bool {
        self.stage == Stage::Waiting && self.begun == number + 1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Due,
    Waiting,
    Ended,
}

/// A SYN on its way.
#[derive(Clone, Copy)]
struct Sent {
    number: usize,
    local: SocketAddr,
    at: Duration,
}

/// When the wait for a target's newest try ends.
#[derive(Clone, Copy)]
struct Wait {
    until: Duration,
    target: usize,
}
