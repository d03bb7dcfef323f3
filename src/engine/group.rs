//! Several engines as one: segments to some targets leave in another way than those to others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::config::OpenEngine;
use super::{Engine, EngineConfig, Interrupt, SentQuestion, SentSyn};
use crate::attempt::Attempt;
use crate::descriptors::Descriptors;
use crate::event::Event;
use crate::local_error::{LocalError, SendError};
use crate::question::{CannotAsk, Question};
use crate::surroundings::Surroundings;
use crate::wire::Segment;

/// How often to open an engine if it gets the source ports of another one.
const OPENINGS: usize = 16;

/// Engines that are used as one, each with an [`Egress`](super::Egress) of its own.
pub struct OpenEngines(Vec<OpenEngine>);

impl OpenEngines {
    /// The most that there can be. Each has sockets and source ports of its own, and all
    /// are read whenever something arrives.
    pub const MAX: usize = 32;

    /// Opens an engine for each of `configs`, as [`EngineConfig::open`] does. No two of them have a
    /// source port in common.
    ///
    /// # Errors
    ///
    /// Returns the error of the first one that cannot be opened.
    ///
    /// # Panics
    ///
    /// Panics if there are none, or more than [`OpenEngines::MAX`].
    pub fn open(configs: &[EngineConfig], start: Instant) -> Result<Self, LocalError> {
        assert!((1..=Self::MAX).contains(&configs.len()), "{} engines", configs.len());
        let mut engines: Vec<OpenEngine> = Vec::with_capacity(configs.len());
        let mut reserved = Vec::new();
        for config in configs {
            let mut engine = open_apart(config, start, &reserved)?;
            let own = engine.reserved_ports();
            engine.avoid(&reserved);
            for other in &mut engines {
                other.avoid(&own);
            }
            reserved.extend(own);
            engines.push(engine);
        }
        let mut engines = Self(engines);
        engines.limit_checks(Descriptors::raise().left());
        Ok(engines)
    }

    /// Returns the name of all of them, or `"mixed"` if they are of different kinds.
    pub fn name(&self) -> &'static str {
        let name = self.0[0].name();
        if self.0.iter().all(|engine| engine.name() == name) { name } else { "mixed" }
    }

    /// See [`OpenEngine::has_enough_privilege`].
    pub fn has_enough_privilege(&self) -> bool {
        self.0.iter().all(OpenEngine::has_enough_privilege)
    }

    /// Returns the [`OpenEngine::capacity`] of each.
    pub fn capacities(&self) -> Vec<usize> {
        self.0.iter().map(OpenEngine::capacity).collect()
    }

    /// Divides `descriptors` among those that take one for each check. Without a call, they share
    /// what was left when they were opened.
    pub fn limit_checks(&mut self, descriptors: usize) {
        let engines = self.0.iter().filter(|engine| engine.capacity() < usize::MAX).count();
        for engine in &mut self.0 {
            engine.limit_checks(descriptors / engines.max(1));
        }
    }

    /// Prepares for many targets, as [`OpenEngine::enable_batching`] does, but without a thread for
    /// RSTs, which takes more of the processor's time than it saves unless SYNs leave as fast as
    /// possible.
    pub fn enable_batching(&mut self) -> usize {
        self.0.iter_mut().map(|engine| engine.batch(false)).min().unwrap_or_default()
    }

    /// Returns them as the loop uses them: a target leaves by the one whose index `engine_of`
    /// returns for its id.
    pub fn into_engine(mut self, engine_of: fn(u32) -> usize) -> Box<dyn Engine> {
        if self.0.len() == 1 {
            return self.0.remove(0).into_engine();
        }
        Box::new(Group::new(self.0.into_iter().map(OpenEngine::into_engine).collect(), engine_of))
    }
}

/// Opens an engine that has none of the `reserved` ports. The kernel gives a port twice, if the
/// sockets are bound to different interfaces.
fn open_apart(
    config: &EngineConfig,
    start: Instant,
    reserved: &[(socket2::Domain, u16)],
) -> Result<OpenEngine, LocalError> {
    for _ in 0..OPENINGS {
        let engine = config.open(start)?;
        if !engine.reserved_ports().iter().any(|port| reserved.contains(port)) {
            return Ok(engine);
        }
    }
    Err(LocalError::SourcePort(Errno::EADDRINUSE))
}

/// Several engines as one.
///
/// A target is pending in one of them at a time, and means nothing to the others. So what concerns
/// a target besides its SYNs is told to all.
///
/// The kernel queues an ICMP error on every raw socket. It counts once, because an engine passes on
/// only what is about a source port of its own, and no two have one in common.
struct Group {
    engines: Vec<Box<dyn Engine>>,
    /// Returns the index of the engine by which the target with an id leaves.
    engine_of: fn(u32) -> usize,
    /// Which engine SYNs have left by from a port, for IPv4 and for IPv6.
    owners: [BTreeMap<u16, usize>; 2],
}

impl Group {
    fn new(engines: Vec<Box<dyn Engine>>, engine_of: fn(u32) -> usize) -> Self {
        Self { engines, engine_of, owners: [BTreeMap::new(), BTreeMap::new()] }
    }

    /// Hands each RST to the engine that the SYN left by.
    fn share_rsts(
        &mut self,
        rsts: &[Segment],
        hand_over: impl Fn(&mut dyn Engine, &[Segment]) -> Vec<Result<(), LocalError>>,
    ) -> Vec<Result<(), LocalError>> {
        let owner = |rst: &Segment| {
            let owner = self.owners[family(rst.source)].get(&rst.source.port());
            owner.copied().unwrap_or_default() // a SYN has left from there
        };
        share(&mut self.engines, rsts, owner, hand_over)
    }

    fn learn(&mut self, index: usize, sent: &SentSyn) {
        if sent.syn.is_some() {
            self.owners[family(sent.local)].insert(sent.local.port(), index);
        }
    }
}

impl Engine for Group {
    fn now(&self) -> Duration {
        self.engines[0].now()
    }

    /// Those that have none postpone their SYNs, and the others go on.
    fn room(&self) -> usize {
        self.engines.iter().map(|engine| engine.room()).max().unwrap_or_default()
    }

    fn send_syns(
        &mut self,
        attempts: &[Attempt],
        syn: &dyn Fn(&Attempt, SocketAddr) -> Segment,
    ) -> Vec<Result<SentSyn, SendError>> {
        let engine_of = self.engine_of;
        let send = |engine: &mut dyn Engine, attempts: &[Attempt]| {
            let ready = engine.room().min(attempts.len());
            let mut results = engine.send_syns(&attempts[..ready], syn);
            let no_room = SendError::LocalError(LocalError::Socket(Errno::EMFILE));
            results.resize(attempts.len(), Err(no_room));
            results
        };
        let results = share(&mut self.engines, attempts, |attempt| engine_of(attempt.id), send);
        for (attempt, result) in attempts.iter().zip(&results) {
            if let Ok(sent) = result {
                self.learn(engine_of(attempt.id), sent);
            }
        }
        results
    }

    fn ask(&mut self, question: &Question) -> Result<SentQuestion, CannotAsk> {
        let index = (self.engine_of)(question.id);
        let sent = self.engines[index].ask(question)?;
        if let Some(local) = sent.local {
            // An answer may call for an RST.
            self.owners[family(local)].insert(local.port(), index);
        }
        Ok(sent)
    }

    fn surroundings(&mut self, id: u32, to: SocketAddr, from: Option<SocketAddr>) -> Surroundings {
        self.engines[(self.engine_of)(id)].surroundings(id, to, from)
    }

    fn timed_out(&mut self, remote: SocketAddr, index: usize) {
        for engine in &mut self.engines {
            engine.timed_out(remote, index);
        }
    }

    fn may_have_dropped_syn(&mut self, remote: SocketAddr) -> bool {
        self.engines.iter_mut().any(|engine| engine.may_have_dropped_syn(remote))
    }

    fn cancel(&mut self, remote: SocketAddr) {
        for engine in &mut self.engines {
            engine.cancel(remote);
        }
    }

    fn send_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
        self.share_rsts(rsts, |engine, rsts| engine.send_rsts(rsts))
    }

    fn send_clearing_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
        self.share_rsts(rsts, |engine, rsts| engine.send_clearing_rsts(rsts))
    }

    fn has_pending_rsts(&self) -> bool {
        self.engines.iter().any(|engine| engine.has_pending_rsts())
    }

    fn take_unsent_rsts(&mut self) -> Vec<Segment> {
        self.engines.iter_mut().flat_map(|engine| engine.take_unsent_rsts()).collect()
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.engines.iter().flat_map(|engine| engine.descriptors()).collect()
    }

    /// One waits, and what arrives at the others interrupts it.
    fn wait(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
    ) -> Result<(), LocalError> {
        let (first, others) = self.engines.split_first_mut().expect("several engines");
        let arrived = others.iter().flat_map(|engine| engine.descriptors());
        let arrived = arrived.map(Interrupt::Readable);
        let interrupts: Vec<_> = interrupts.iter().copied().chain(arrived).collect();
        first.wait(deadline, &interrupts)
    }

    fn drain(
        &mut self,
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        let mut drained_until = Some(Duration::MAX);
        for engine in &mut self.engines {
            drained_until = engine.drain(events)?.min(drained_until); // `None` is less
        }
        Ok(drained_until)
    }
}

/// Hands each of `items` over to the engine whose index `engine_of` returns, and returns the
/// results in the order of the items.
fn share<T: Copy, R>(
    engines: &mut [Box<dyn Engine>],
    items: &[T],
    engine_of: impl Fn(&T) -> usize,
    hand_over: impl Fn(&mut dyn Engine, &[T]) -> Vec<R>,
) -> Vec<R> {
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    for (index, engine) in engines.iter_mut().enumerate() {
        let places: Vec<_> =
            (0..items.len()).filter(|place| engine_of(&items[*place]) == index).collect();
        if !places.is_empty() {
            let own: Vec<_> = places.iter().map(|place| items[*place]).collect();
            for (place, result) in places.into_iter().zip(hand_over(engine.as_mut(), &own)) {
                results[place] = Some(result);
            }
        }
    }
    results.into_iter().map(|result| result.expect("an engine for each")).collect()
}

fn family(address: SocketAddr) -> usize {
    usize::from(address.is_ipv6())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::attempt::SourcePort;
    use crate::wire::{Flags, Options, SequenceNumber};

    /// An engine that notes which remote ports it has sent to.
    struct Noting {
        local: SocketAddr,
        room: usize,
        drained_until: Option<Duration>,
        sent: Rc<RefCell<Vec<u16>>>,
    }

    impl Engine for Noting {
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn room(&self) -> usize {
            self.room
        }

        fn send_syns(
            &mut self,
            attempts: &[Attempt],
            syn: &dyn Fn(&Attempt, SocketAddr) -> Segment,
        ) -> Vec<Result<SentSyn, SendError>> {
            let send = |attempt: &Attempt| {
                self.sent.borrow_mut().push(attempt.remote.port());
                let syn = Some(syn(attempt, self.local));
                Ok(SentSyn { at: Duration::ZERO, local: self.local, syn })
            };
            attempts.iter().map(send).collect()
        }

        fn send_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
            self.sent.borrow_mut().extend(rsts.iter().map(|rst| rst.destination.port()));
            rsts.iter().map(|_| Ok(())).collect()
        }

        fn wait(&mut self, _: Option<Duration>, _: &[Interrupt<'_>]) -> Result<(), LocalError> {
            Ok(())
        }

        fn drain(
            &mut self,
            _: &mut Vec<(Duration, Event)>,
        ) -> Result<Option<Duration>, LocalError> {
            Ok(self.drained_until)
        }
    }

    fn endpoint(port: u16) -> SocketAddr {
        ([198, 18, 0, 7], port).into()
    }

    fn segment(source: SocketAddr, destination: SocketAddr, flags: Flags) -> Segment {
        let (sequence, acknowledgement) = (SequenceNumber(1), SequenceNumber(0));
        let options = Options::default();
        Segment { source, destination, sequence, acknowledgement, flags, window: 0, options }
    }

    /// A group of engines with these rooms, which send from ports 40000 and up, and what each has
    /// sent to. The lowest bit of an id is the index of the engine.
    fn group<const N: usize>(rooms: [usize; N]) -> (Group, [Rc<RefCell<Vec<u16>>>; N]) {
        let sent = rooms.map(|_| Rc::default());
        let engine = |(port, (room, sent)): (u16, (usize, &Rc<_>))| -> Box<dyn Engine> {
            let drained_until = Some(Duration::from_secs(port.into()));
            Box::new(Noting { local: endpoint(port), room, drained_until, sent: Rc::clone(sent) })
        };
        let engines = (40_000..).zip(rooms.into_iter().zip(&sent)).map(engine).collect();
        (Group::new(engines, |id| id as usize & 1), sent)
    }

    fn send(group: &mut Group, ids: &[u16]) -> Vec<Result<SentSyn, SendError>> {
        let attempt = |id: &u16| Attempt {
            id: (*id).into(),
            remote: endpoint(*id),
            index: 0,
            port: SourcePort::Fresh(0),
            clock: 0,
        };
        let attempts: Vec<_> = ids.iter().map(attempt).collect();
        group.send_syns(&attempts, &|attempt, local| segment(local, attempt.remote, Flags::SYN))
    }

    #[test]
    fn syns_leave_by_the_engine_of_their_target_and_results_keep_their_order() {
        let (mut group, sent) = group([usize::MAX; 2]);
        let results = send(&mut group, &[1, 2, 4, 3, 6]);
        let to: Vec<_> = results
            .into_iter()
            .map(|sent| sent.unwrap().syn.unwrap())
            .map(|syn| (syn.source.port(), syn.destination.port()))
            .collect();
        assert_eq!(to, [(40_001, 1), (40_000, 2), (40_000, 4), (40_001, 3), (40_000, 6)]);
        assert_eq!(sent.map(|sent| sent.take()), [vec![2, 4, 6], vec![1, 3]]);
    }

    #[test]
    fn an_engine_without_room_delays_only_its_own_targets() {
        let (mut group, sent) = group([1, 9]);
        assert_eq!(group.room(), 9);
        let results = send(&mut group, &[2, 1, 4, 3]);
        let left: Vec<_> = results.iter().map(Result::is_ok).collect();
        assert_eq!(left, [true, true, false, true]);
        let Err(SendError::LocalError(error)) = &results[2] else { panic!("{results:?}") };
        assert!(error.is_shortage());
        assert_eq!(sent.map(|sent| sent.take()), [vec![2], vec![1, 3]]);
    }

    #[test]
    fn rsts_leave_by_the_engine_whose_port_they_come_from() {
        let (mut group, sent) = group([usize::MAX; 2]);
        send(&mut group, &[1, 2]);
        for sent in &sent {
            sent.borrow_mut().clear();
        }
        let rst = |(from, to)| segment(endpoint(from), endpoint(to), Flags::RST);
        let rsts = [(40_001, 7), (40_000, 8), (40_001, 9)].map(rst);
        assert_eq!(group.send_rsts(&rsts), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(sent.map(|sent| sent.take()), [vec![8], vec![7, 9]]);
    }

    #[test]
    fn silence_counts_up_to_what_all_engines_have_drained() {
        let (mut group, _) = group([usize::MAX; 2]);
        assert_eq!(group.drain(&mut Vec::new()), Ok(Some(Duration::from_secs(40_000))));
        let (local, room, sent) = (endpoint(1), 0, Rc::default());
        group.engines.insert(0, Box::new(Noting { local, room, drained_until: None, sent }));
        assert_eq!(group.drain(&mut Vec::new()), Ok(None));
    }
}
