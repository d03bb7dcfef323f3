//! What readers see of what the loop publishes.

use std::time::Duration;

use halfopen::explain::Cause;
use halfopen::verdict::PortState;
use jiff::Timestamp;

use super::*;
use crate::event::{EventKind, PoolView, TargetView};
use crate::fleet::health::State;

fn pool(up: u32) -> PoolView {
    PoolView { name: "web".into(), up, targets: 2, fails_open: false, fails_open_at: None }
}

fn target(id: u32, to: State) -> TargetView {
    let endpoint = format!("192.0.2.{id}:443");
    TargetView {
        id,
        label: endpoint.as_str().into(),
        endpoint: endpoint.parse().ok(),
        from: State::Unknown,
        to,
        finding: None,
        reason: None,
        count: 1,
        advertised: to,
        is_held: false,
    }
}

fn event(kind: EventKind, up: u32, target: TargetView) -> Update {
    let event = Event { sequence: 1, kind, pool: Some(pool(up)), target: Some(target) };
    Update::Event(Box::new(event), Timestamp::constant(1, 0))
}

fn check(id: u32, at: u64, found: Result<PortState, &'static str>, millis: u64) -> Update {
    let round_trip = (millis > 0).then(|| Duration::from_millis(millis));
    Update::Check(CheckEnd { id, at: Duration::from_secs(at), found, round_trip, syns: 1 })
}

fn two_targets() -> (Publisher, Live) {
    let targets = [7, 8].map(|id| (pool(0), target(id, State::Unknown)));
    Live::new(Timestamp::UNIX_EPOCH, targets.into_iter())
}

#[test]
fn what_is_published_is_read() {
    let (mut publisher, live) = two_targets();
    assert_eq!(live.read().targets().count(), 2);
    publisher.publish(check(7, 1, Ok(PortState::Open), 5));
    publisher.publish(event(EventKind::Up, 1, target(7, State::Up)));
    publisher.publish(check(8, 2, Ok(PortState::Filtered), 0));
    publisher.publish(check(8, 3, Err("no_route"), 0));
    assert!(!live.read().is_ready(), "not flushed yet");
    publisher.flush();
    let table = live.read();
    assert!(table.is_ready());
    let rows: Vec<_> = table.targets().map(|(_, row)| row).collect();
    assert_eq!((rows[0].state, rows[0].transitions), (State::Up, 1));
    assert_eq!(rows[0].round_trip(), Some(Duration::from_millis(5)));
    assert_eq!((rows[0].checks(), rows[0].failures(), rows[0].syns), (1, 0, 1));
    assert_eq!((rows[1].checks(), rows[1].failures(), rows[1].faults), (2, 1, 1));
    assert_eq!(table.pools["web"].up, 1);
    assert_eq!(table.pools["web"].round_trips.count(), 1);
    assert_eq!(table.faults["no_route"], 1);
}

#[test]
fn removed_targets_are_not_shown() {
    let (mut publisher, live) = two_targets();
    publisher.publish(event(EventKind::Removed, 0, target(7, State::Unknown)));
    publisher.flush();
    let ids: Vec<_> = live.read().targets().map(|(id, _)| id).collect();
    assert_eq!(ids, [8]);
}

#[test]
fn readers_who_do_not_read_cost_no_more_than_a_bound() {
    let (mut publisher, live) = two_targets();
    for _ in 0..3 * BACKLOG {
        publisher.publish(check(7, 1, Ok(PortState::Open), 1));
    }
    publisher.flush();
    let kept = u64::from(live.read().targets[7].as_ref().unwrap().checks());
    assert!((BACKLOG as u64..BACKLOG as u64 + 2 * BATCH as u64).contains(&kept), "{kept}");
    publisher.publish(check(7, 1, Ok(PortState::Open), 1));
    publisher.flush();
    assert_eq!(u64::from(live.read().targets[7].as_ref().unwrap().checks()), kept + 1);
}

#[test]
fn a_state_that_changes_while_checks_are_lost_is_shown_afterwards() {
    let (mut publisher, live) = two_targets();
    for _ in 0..2 * BACKLOG {
        publisher.publish(check(8, 1, Ok(PortState::Open), 1));
    }
    assert!(publisher.is_full());
    publisher.publish(event(EventKind::Down, 0, target(7, State::Down)));
    publisher.publish(event(EventKind::Removed, 0, target(8, State::Unknown)));
    publisher.flush();
    drop(live.read());
    publisher.flush();
    let table = live.read();
    let states: Vec<_> = table.targets().map(|(id, row)| (id, row.state)).collect();
    assert_eq!(states, [(7, State::Down)]);
}

/// Publishes so much that further events are lost.
fn fill(publisher: &mut Publisher) {
    while !publisher.is_full() {
        publisher.publish(check(8, 1, Ok(PortState::Open), 1));
    }
    for _ in 0..BACKLOG {
        publisher.publish(event(EventKind::Held, 0, target(7, State::Unknown)));
    }
}

#[test]
fn a_target_that_is_removed_while_events_are_lost_is_not_shown_afterwards() {
    let (mut publisher, live) = two_targets();
    publisher.publish(event(EventKind::Up, 1, target(7, State::Up)));
    fill(&mut publisher);
    publisher.publish(event(EventKind::Removed, 1, target(8, State::Unknown)));
    let isolated = Event { sequence: 1, kind: EventKind::Isolated, pool: None, target: None };
    publisher.publish(Update::Event(Box::new(isolated), Timestamp::UNIX_EPOCH));
    publisher.publish(event(EventKind::Down, 0, target(7, State::Down)));
    assert!(!publisher.flush(), "the readers are busy");
    drop(live.read());
    publisher.publish(event(EventKind::Held, 0, target(8, State::Unknown))); // it is lost, too
    assert!(publisher.flush() && !publisher.flush(), "one snapshot is needed");
    publisher.publish(event(EventKind::Snapshot, 0, target(7, State::Down)));
    drop(live.read());
    publisher.flush();
    let table = live.read();
    let rows: Vec<_> = table.targets().map(|(id, row)| (id, row.state, row.since())).collect();
    assert_eq!(rows, [(7, State::Down, None)]);
    assert!(table.is_isolated);
}

/// Another target, of another pool, has the id of one that was removed.
#[test]
fn a_target_does_not_continue_the_counters_of_one_whose_removal_was_lost() {
    let (mut publisher, live) = two_targets();
    fill(&mut publisher);
    for id in [7, 8] {
        publisher.publish(event(EventKind::Removed, 0, target(id, State::Unknown)));
    }
    drop(live.read());
    assert!(publisher.flush());
    let mail = PoolView { name: "mail".into(), ..pool(0) };
    let (kind, target) = (EventKind::Snapshot, Some(target(8, State::Unknown)));
    let event = Event { sequence: 1, kind, pool: Some(mail), target };
    publisher.publish(Update::Event(Box::new(event), Timestamp::UNIX_EPOCH));
    drop(live.read());
    publisher.flush();
    let table = live.read();
    assert_eq!(table.pools.keys().map(|name| &**name).collect::<Vec<_>>(), ["mail"]);
    let rows: Vec<_> = table.targets().map(|(id, row)| (id, &*row.pool, row.checks())).collect();
    assert_eq!(rows, [(8, "mail", 0)]);
}

/// A reload shows all targets again.
#[test]
fn a_cause_stands_until_the_state_changes() {
    let (mut publisher, live) = two_targets();
    publisher.publish(event(EventKind::Down, 0, target(7, State::Down)));
    publisher.publish(check(7, 1, Ok(PortState::Filtered), 0));
    publisher.publish(Update::Cause(Box::new(super::Cause {
        id: 7,
        remote: "192.0.2.7:443".parse().unwrap(),
        found: PortState::Filtered,
        explanation: Explanation { cause: Cause::HostSilent, evidence: Vec::new() },
    })));
    let mut has_cause_after = |kind, to| {
        publisher.publish(event(kind, 0, target(7, to)));
        publisher.flush();
        let table = live.read();
        table.targets[7].as_ref().is_some_and(|row| row.explanation().is_some())
    };
    assert!(has_cause_after(EventKind::Snapshot, State::Down));
    assert!(has_cause_after(EventKind::Held, State::Down));
    assert!(!has_cause_after(EventKind::Down, State::Down), "it is down again");
}

#[test]
fn a_history_has_the_last_sixty_minutes() {
    let (mut publisher, live) = two_targets();
    for minute in 0..100 {
        publisher.publish(check(7, 60 * minute, Ok(PortState::Open), minute + 1));
        publisher.publish(check(7, 60 * minute + 30, Ok(PortState::Open), 1));
    }
    publisher.publish(check(7, 60 * 102, Ok(PortState::Filtered), 0));
    publisher.flush();
    let table = live.read();
    let history = table.targets[7].as_ref().unwrap().history().unwrap();
    let millis: Vec<_> = history.minutes().map(|time| time.map(|t| t.as_millis())).collect();
    let wanted: Vec<_> = (44..=100).map(Some).chain([None; 3]).collect();
    assert_eq!(millis, wanted);
    let failed: Vec<_> = history.failed().enumerate().filter(|(_, failed)| *failed).collect();
    assert_eq!(failed, [(59, true)]);
}

#[test]
fn what_can_wait_does_while_readers_have_much_to_do() {
    let (mut publisher, live) = two_targets();
    assert!(publisher.takes_more() && !live.catch_up());
    for _ in 0..MANY {
        publisher.publish(check(7, 1, Ok(PortState::Open), 5));
    }
    assert!(!publisher.takes_more());
    assert!(live.catch_up(), "there is much to do");
    assert!(publisher.takes_more() && !live.catch_up());
    drop(live);
    for _ in 0..MANY {
        publisher.publish(check(7, 1, Ok(PortState::Open), 5));
    }
    assert!(publisher.takes_more(), "nobody reads");
}
