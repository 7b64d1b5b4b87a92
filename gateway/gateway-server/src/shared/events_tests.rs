//! Events are numbered, bounded and counted.

use super::*;

fn events() -> Events {
    Events::new(Registry::new())
}

fn ids(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.id).collect()
}

#[test]
fn events_are_numbered_from_one_and_read_from_any_of_them() {
    let events = events();
    assert_eq!(events.since(0, 10), Page { events: vec![], last_id: 0, lost: 0 });
    for version in ["a", "b", "c"] {
        events.emit(Event::new(EventKind::Loaded, "auth").version(version));
    }
    assert_eq!(ids(&events.since(0, 10)), [1, 2, 3]);
    assert_eq!(ids(&events.since(1, 1)), [2]);
    assert_eq!(events.since(3, 10), Page { events: vec![], last_id: 3, lost: 0 });
    assert_eq!(ids(&events.since(99, 10)), [0; 0], "an id of another process");
}

#[test]
fn the_oldest_events_go_first_and_their_loss_is_told() {
    let events = events();
    for _ in 0..MAX_EVENTS + 5 {
        events.emit(Event::new(EventKind::Rejected, "auth").reason("parse"));
    }
    let page = events.since(2, usize::MAX);
    assert_eq!((page.events.len(), page.lost), (MAX_EVENTS, 3));
    assert_eq!(page.events[0].id, 6);
    assert_eq!(events.since(5, 1).lost, 0);
}

#[test]
fn a_long_message_is_cut_at_a_character() {
    let events = events();
    events.emit(
        Event::new(EventKind::Rejected, "auth").message("x".to_owned() + &"ü".repeat(MAX_MESSAGE_BYTES)),
    );
    let message = &events.since(0, 1).events[0].message;
    assert_eq!(message.len(), MAX_MESSAGE_BYTES - 1);
}

#[test]
fn each_event_counts_under_its_filter_and_kind() {
    let registry = Registry::new();
    let events = Events::new(registry.clone());
    events.emit(Event::new(EventKind::RolledBack, "auth"));
    events.emit(Event::new(EventKind::RolledBack, "auth"));
    assert_eq!(registry.counter_total(&families::FILTER_EVENTS, &["auth", "rolled_back"]), 2);
}
