//! What is asked about which targets, and what the answers call for.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::question::{Question, QuestionKind};
use halfopen::wire::{Flags, Segment};

use super::model::Model;
use super::run::{TIMEOUT, Wanted, explain};
use super::scenes::{Port, Scene, hung};
use crate::network::{NOBODY, SERVER, millis, rst_ack, secs, syn_ack};

/// A network in which every check ends like this, and no question is answered.
struct Asked {
    answer: fn(&Segment) -> Vec<(Duration, Event)>,
    questions: Vec<(Duration, Question)>,
}

impl Asked {
    fn new(answer: fn(&Segment) -> Vec<(Duration, Event)>) -> Self {
        Self { answer, questions: Vec::new() }
    }

    /// The targets that were asked about, in that order.
    fn about(&self) -> Vec<SocketAddr> {
        let mut targets = Vec::new();
        for (_, question) in &self.questions {
            let target = SocketAddr::new(question.remote.ip(), SERVER.port());
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }
}

impl Network for &mut Asked {
    fn carry(&mut self, _now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        if segment.flags == Flags::SYN { (self.answer)(segment) } else { Vec::new() }
    }

    fn ask(
        &mut self,
        now: Duration,
        question: &Question,
        _local: Option<SocketAddr>,
    ) -> Vec<(Duration, Event)> {
        self.questions.push((now, *question));
        Vec::new()
    }
}

/// Returns this many targets in each of this many /24.
fn pool(networks: u8, each: u8) -> Vec<SocketAddr> {
    let address = |network, host| Ipv4Addr::new(198, 18, network, host);
    let in_network = |network| (1..=each).map(move |host| address(network, host));
    let all = (0..networks).flat_map(in_network);
    all.map(|address| (address, SERVER.port()).into()).collect()
}

#[test]
fn of_a_pool_the_first_hundred_are_explained_and_then_one_of_each_network() {
    let targets = pool(6, 60);
    for answer in [(|_| Vec::new()) as fn(&_) -> _, |syn| vec![(millis(1), rst_ack(syn))]] {
        let mut network = Asked::new(answer);
        let run = explain(&targets, &mut network, Wanted::NotOpen, None);
        assert_eq!(run.ended.len(), targets.len());
        let explained: HashSet<_> = run.explanations.keys().copied().collect();
        assert_eq!(explained, network.about().into_iter().collect());
        let first = network.about()[..100].iter().map(third).collect::<HashSet<_>>();
        let later: Vec<_> = network.about()[100..].iter().map(third).collect();
        assert_eq!(first.len() + later.len(), 6, "{first:?} {later:?}");
        assert_eq!(explained.iter().map(third).collect::<HashSet<_>>().len(), 6);
    }
}

/// Returns the third byte of an address: which /24 of the pool it is in.
fn third(remote: &SocketAddr) -> u8 {
    match remote.ip() {
        IpAddr::V4(address) => address.octets()[2],
        IpAddr::V6(_) => panic!("{remote} is not in the pool"),
    }
}

#[test]
fn targets_that_need_no_explanation_count_for_nothing() {
    let mut network = Asked::new(|syn| match third(&syn.destination) {
        0 => vec![(millis(1), syn_ack(syn))],
        _ => Vec::new(),
    });
    let run = explain(&pool(3, 90), &mut network, Wanted::NotOpen, None);
    let open = run.ended.values().filter(|(at, _)| *at < secs(1)).count();
    assert_eq!(open, 90);
    assert_eq!(run.explanations.len(), 100);
}

#[test]
fn at_most_ten_questions_are_asked_about_each_of_a_pool() {
    let targets = pool(2, 40);
    let mut network = Asked::new(|_| Vec::new());
    explain(&targets, &mut network, Wanted::NotOpen, None);
    for target in targets {
        let of_it = network.questions.iter().filter(|(_, q)| q.remote.ip() == target.ip());
        assert_eq!(of_it.count(), 10);
    }
}

/// The last SYN leaves after 857 ms.
#[test]
fn a_silent_target_is_asked_about_during_the_last_wait() {
    let mut network = Asked::new(|_| Vec::new());
    let run = explain(&[NOBODY], &mut network, Wanted::NotOpen, None);
    let times: Vec<_> = network.questions.iter().map(|(at, _)| *at).collect();
    assert_eq!(times.first().map(Duration::as_millis), Some(857));
    assert!(times.iter().all(|at| *at < TIMEOUT));
    assert!(run.ended[&NOBODY].0 <= TIMEOUT);
}

#[test]
fn nothing_is_asked_about_a_target_that_has_been_cancelled() {
    let both = [SERVER, NOBODY];
    let mut network = Asked::new(|_| Vec::new());
    let run = explain(&both, &mut network, Wanted::NotOpen, Some((millis(857), SERVER)));
    assert!(!run.ended.contains_key(&SERVER));
    assert!(!run.explanations.contains_key(&SERVER));
    let asked = network.questions.iter().filter(|(_, q)| q.remote.ip() == SERVER.ip()).count();
    assert!(asked <= 3, "{asked} questions");
    let late = |(at, q): &&(Duration, Question)| q.remote.ip() == SERVER.ip() && *at > millis(1000);
    assert_eq!(network.questions.iter().filter(late).count(), 0);
    assert!(run.explanations.contains_key(&NOBODY));
}

/// NOBODY keeps the run going after the inquiry about SERVER.
#[test]
fn late_answers_to_questions_get_their_rst() {
    let mut network = Delayed { questions: 0 };
    let run = explain(&[SERVER, NOBODY], &mut network, Wanted::NotOpen, None);
    assert!(network.questions > 0);
    let late = |(at, packet): &&(Duration, _)| {
        use halfopen::event_loop::PacketEvent::Received;
        let (ended, _) = run.ended[&SERVER];
        matches!(packet, Received(Event::Segment { .. }, _)) && *at > ended
    };
    assert!(run.packets.iter().filter(late).count() > 0, "no answer is late");
    assert_eq!(run.without_rst(), []);
}

/// SERVER refuses at once, and answers SYNs of questions with SYN+ACK half a second later.
struct Delayed {
    questions: usize,
}

impl Network for &mut Delayed {
    fn carry(&mut self, _now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        let answers = segment.flags == Flags::SYN && segment.destination == SERVER;
        if answers { vec![(millis(2), rst_ack(segment))] } else { Vec::new() }
    }

    fn ask(
        &mut self,
        _now: Duration,
        question: &Question,
        local: Option<SocketAddr>,
    ) -> Vec<(Duration, Event)> {
        if question.remote.ip() != SERVER.ip() || question.kind != QuestionKind::Syn {
            return Vec::new();
        }
        self.questions += 1;
        let syn = question.segment(local.expect("a SYN leaves from a port"));
        [500, 700].map(|after| (millis(after), syn_ack(&syn))).to_vec()
    }
}

/// A SYN+ACK that the host repeats a second later.
#[test]
fn repeated_answers_get_their_rsts() {
    let scene = Scene { late: Some(millis(300)), port: Port::Listening, ..hung() };
    for seed in 0..50 {
        let mut model = Model::new(scene.clone(), seed, 0.3);
        let run = explain(&[SERVER, NOBODY], &mut model, Wanted::NotOpen, None);
        assert_eq!(run.without_rst(), [], "seed {seed}");
    }
}
