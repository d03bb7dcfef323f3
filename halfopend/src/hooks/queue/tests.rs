use proptest::prelude::*;

use super::*;
use crate::hooks::examples::{down, event};

fn waiting(event: Event) -> Waiting {
    Waiting { command: Arc::from(["true".to_owned()]), event, time: Timestamp::UNIX_EPOCH }
}

fn of(sequence: u64, kind: EventKind, label: &str) -> Waiting {
    waiting(Event { kind, ..event(sequence, down(label)) })
}

fn next(queue: &mut Queue) -> Option<u64> {
    queue.poll().map(|(_, waiting)| waiting.event.sequence)
}

fn pool(name: &str) -> Arc<str> {
    name.into()
}

#[test]
fn one_event_of_a_pool_runs_at_a_time() {
    let mut queue = Queue::default();
    queue.push(&pool("web"), of(1, EventKind::Down, "a:1"));
    queue.push(&pool("web"), of(2, EventKind::Down, "b:1"));
    queue.push(&pool("mail"), of(3, EventKind::Down, "c:1"));
    assert_eq!([next(&mut queue), next(&mut queue), next(&mut queue)], [Some(1), Some(3), None]);
    queue.ended(&pool("web"));
    assert_eq!([next(&mut queue), next(&mut queue)], [Some(2), None]);
}

#[test]
fn a_newer_event_of_a_target_replaces_one_that_waits() {
    let mut queue = Queue::default();
    for (sequence, label) in [(1, "a:1"), (2, "a:1"), (3, "b:1"), (4, "a:1")] {
        queue.push(&pool("web"), of(sequence, EventKind::Down, label));
        if sequence == 1 {
            assert_eq!(next(&mut queue), Some(1));
        }
    }
    queue.ended(&pool("web"));
    assert_eq!(next(&mut queue), Some(3), "in the order in which they happened");
    queue.ended(&pool("web"));
    assert_eq!(next(&mut queue), Some(4));
    queue.ended(&pool("web"));
    assert_eq!((next(&mut queue), queue.len(), queue.pools.len()), (None, 0, 0));
}

#[test]
fn a_hold_does_not_hide_a_transition() {
    let mut queue = Queue::default();
    queue.push(&pool("web"), of(1, EventKind::Down, "a:1"));
    queue.push(&pool("web"), of(2, EventKind::Held, "a:1"));
    queue.push(&pool("web"), of(3, EventKind::Released, "a:1"));
    assert_eq!(next(&mut queue), Some(1));
    queue.ended(&pool("web"));
    assert_eq!(next(&mut queue), Some(3));
}

#[test]
fn events_beyond_the_limit_are_refused_unless_they_replace_others() {
    let mut queue = Queue::default();
    for sequence in 0..MOST as u64 {
        assert!(queue.push(&pool("web"), of(sequence, EventKind::Down, &format!("t{sequence}:1"))));
    }
    let more = MOST as u64;
    assert!(!queue.push(&pool("web"), of(more, EventKind::Down, "more:1")));
    assert!(queue.push(&pool("web"), of(more + 1, EventKind::Up, "t7:1")));
    assert_eq!(queue.len(), MOST);
}

#[test]
fn a_few_pools_run_at_once() {
    let mut queue = Queue::default();
    for number in 0..2 * AT_ONCE as u64 {
        queue.push(&pool(&format!("p{number}")), of(number, EventKind::Down, "a:1"));
    }
    let begun: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
    assert_eq!(begun.len(), AT_ONCE);
    queue.ended(&pool("p0"));
    assert_eq!(next(&mut queue), Some(AT_ONCE as u64), "the pool that has waited longest");
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8, u8, EventKind),
    Poll,
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = [EventKind::Up, EventKind::Down, EventKind::Held, EventKind::FailOpen];
    let push = (0..3u8, 0..4u8, 0..kinds.len())
        .prop_map(move |(pool, target, kind)| Step::Push(pool, target, kinds[kind]));
    prop::collection::vec(
        prop_oneof![3 => push, 1 => Just(Step::Poll), 1 => Just(Step::End)],
        0..200,
    )
}

proptest! {
    /// Whatever happens when: sequence numbers of a pool only grow, and the last event of each
    /// target runs.
    #[test]
    fn the_last_event_of_each_target_runs_in_order(steps in steps()) {
        let mut queue = Queue::default();
        let mut running = VecDeque::new();
        let mut pushed = HashMap::new();
        let mut run: HashMap<Arc<str>, Vec<Event>> = HashMap::new();
        let finish = std::iter::repeat_n([Step::Poll, Step::End], 200).flatten();
        for (step, sequence) in steps.into_iter().chain(finish).zip(1..) {
            match step {
                Step::Push(name, target, kind) => {
                    let label = format!("t{target}:1");
                    let name = pool(&name.to_string());
                    prop_assert!(queue.push(&name, of(sequence, kind, &label)));
                    let aspect = matches!(kind, EventKind::Up | EventKind::Down);
                    if aspect { pushed.insert((name, label), sequence); }
                }
                Step::Poll => if let Some((name, waiting)) = queue.poll() {
                    prop_assert!(!running.contains(&name));
                    running.push_back(name.clone());
                    run.entry(name).or_default().push(waiting.event);
                },
                Step::End => if let Some(name) = running.pop_front() { queue.ended(&name); },
            }
        }
        for events in run.values() {
            prop_assert!(events.is_sorted_by(|a, b| a.sequence < b.sequence));
        }
        for ((name, label), sequence) in pushed {
            let last = run[&name].iter().rfind(|event| {
                let is_state = matches!(event.kind, EventKind::Up | EventKind::Down);
                is_state && *event.target.as_ref().expect("a target").label == *label
            });
            prop_assert_eq!(last.expect("it has run").sequence, sequence);
        }
        prop_assert_eq!((queue.len(), queue.pools.len()), (0, 0));
    }
}
