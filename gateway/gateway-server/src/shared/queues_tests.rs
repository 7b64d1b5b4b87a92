use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const MAX_QUEUE_ENTRIES: usize = 16;

fn counting() -> (Waker, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    (Arc::new(move |_| _ = counted.fetch_add(1, Ordering::Relaxed)), calls)
}

fn silent() -> Waker {
    Arc::new(|_| {})
}

#[test]
fn registering_again_finds_the_queue_and_takes_over_the_notification() {
    let queues = Queues::new();
    let ((first, told_first), (second, told_second)) = (counting(), counting());
    let id = queues.register("vm", b"q", 1, first, MAX_QUEUE_ENTRIES).expect("registered");
    assert_ne!(id, 0);
    queues.enqueue(id, b"a").expect("enqueued");
    assert_eq!(queues.register("vm", b"q", 2, second, MAX_QUEUE_ENTRIES), Ok(id), "idempotent");
    queues.enqueue(id, b"b").expect("enqueued");
    queues.enqueue(id, b"c").expect("enqueued");
    let told = (told_first.load(Ordering::Relaxed), told_second.load(Ordering::Relaxed));
    assert_eq!(told, (1, 2), "only the last registrant, once per entry");
}

#[test]
fn entries_come_out_in_order() {
    let queues = Queues::new();
    let id = queues.register("vm", b"q", 1, silent(), MAX_QUEUE_ENTRIES).expect("registered");
    assert_eq!(queues.dequeue(id), Err(QueueError::Empty(id)));
    for value in [b"a", b"b"] {
        queues.enqueue(id, value).expect("enqueued");
    }
    assert_eq!(queues.dequeue(id).as_deref(), Ok(&b"a"[..]));
    assert_eq!(queues.dequeue(id).as_deref(), Ok(&b"b"[..]));
    assert_eq!(queues.dequeue(id), Err(QueueError::Empty(id)));
}

#[test]
fn resolving_needs_namespace_and_name() {
    let queues = Queues::new();
    let id = queues.register("vm", b"q", 1, silent(), MAX_QUEUE_ENTRIES).expect("registered");
    let other = queues.register("other", b"q", 1, silent(), MAX_QUEUE_ENTRIES).expect("registered");
    assert_ne!(id, other);
    assert_eq!(queues.resolve("vm", b"q"), Some(id));
    assert_eq!(queues.resolve("vm", b"none"), None);
    assert_eq!(queues.resolve("none", b"q"), None);
    assert_eq!(queues.enqueue(99, b""), Err(QueueError::NotFound(99)));
    assert_eq!(queues.dequeue(99), Err(QueueError::NotFound(99)));
}

#[test]
fn a_waker_may_use_the_queues() {
    let queues = Queues::new();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (inner, sink) = (Arc::clone(&queues), Arc::clone(&taken));
    let waker: Waker = Arc::new(move |id| lock(&sink).push(inner.dequeue(id).expect("an entry")));
    let id = queues.register("vm", b"q", 1, waker, MAX_QUEUE_ENTRIES).expect("registered");
    queues.enqueue(id, b"a").expect("enqueued");
    assert_eq!(lock(&taken).as_slice(), [Box::from(*b"a")]);
}

#[test]
fn a_queue_is_bounded_by_entries_and_bytes() {
    let queues = Queues::new();
    let id = queues.register("vm", b"q", 1, silent(), MAX_QUEUE_ENTRIES).expect("registered");
    for _ in 0..MAX_QUEUE_ENTRIES {
        queues.enqueue(id, b"").expect("below the limit");
    }
    assert_eq!(queues.enqueue(id, b""), Err(QueueError::Full(id)));
    queues.dequeue(id).expect("an entry");
    queues.enqueue(id, b"").expect("room again");

    let id = queues.register("vm", b"bytes", 1, silent(), MAX_QUEUE_ENTRIES).expect("registered");
    assert_eq!(queues.enqueue(id, &vec![0; MAX_QUEUE_BYTES + 1]), Err(QueueError::Full(id)));
    queues.enqueue(id, &vec![0; MAX_QUEUE_BYTES]).expect("exactly the limit");
    assert_eq!(queues.enqueue(id, b"x"), Err(QueueError::Full(id)));
    queues.dequeue(id).expect("an entry");
    queues.enqueue(id, b"x").expect("room again");
}

#[test]
fn queues_are_limited_per_namespace() {
    let queues = Queues::new();
    for n in 0..MAX_QUEUES_PER_NAMESPACE {
        queues
            .register("vm", n.to_string().as_bytes(), 1, silent(), MAX_QUEUE_ENTRIES)
            .expect("below the limit");
    }
    assert_eq!(
        queues.register("vm", b"more", 1, silent(), MAX_QUEUE_ENTRIES),
        Err(QueueError::TooManyQueues)
    );
    assert!(queues.register("other", b"more", 1, silent(), MAX_QUEUE_ENTRIES).is_ok());
    assert!(queues.register("vm", b"7", 2, silent(), MAX_QUEUE_ENTRIES).is_ok(), "an old one is found again");
    let long = vec![b'n'; MAX_QUEUE_NAME_BYTES + 1];
    assert_eq!(
        queues.register("other", &long, 1, silent(), MAX_QUEUE_ENTRIES),
        Err(QueueError::NameTooLong(long.len()))
    );
}

#[test]
fn a_released_owner_is_not_told_and_the_last_one_takes_the_queue_along() {
    let queues = Queues::new();
    let ((old, told_old), (new, told_new)) = (counting(), counting());
    let id = queues.register("vm", b"q", 1, old, MAX_QUEUE_ENTRIES).expect("registered");
    queues.register("vm", b"q", 2, new, MAX_QUEUE_ENTRIES).expect("registered");
    queues.release(2);
    queues.enqueue(id, b"a").expect("still there");
    assert_eq!((told_old.load(Ordering::Relaxed), told_new.load(Ordering::Relaxed)), (1, 0));
    queues.release(1);
    assert_eq!(queues.enqueue(id, b"b"), Err(QueueError::NotFound(id)));
    assert_eq!(queues.resolve("vm", b"q"), None);
    let again = queues.register("vm", b"q", 3, silent(), MAX_QUEUE_ENTRIES).expect("registered");
    assert_ne!(again, id, "ids are not used twice");
}

#[test]
fn queues_are_for_their_namespace_and_for_those_it_lets_in() {
    let queues = Queues::new();
    let id = queues.register("accounts", b"events", 1, silent(), MAX_QUEUE_ENTRIES).unwrap();
    assert!(queues.may_use(id, b"accounts", "accounts"));
    assert!(!queues.may_use(id, b"quota", "quota"), "knowing the number is not enough");
    assert!(!queues.may_use(id + 1, b"accounts", "accounts"), "there is no such queue");
    queues.share(b"accounts", &["quota".into()]);
    assert!(queues.may_use(id, b"quota", "quota"));
    assert!(!queues.may_use(id, b"other", "other"));
    queues.share(b"accounts", &[]);
    assert!(!queues.may_use(id, b"quota", "quota"), "no longer");
}

#[test]
fn who_holds_a_queue_keeps_it_and_is_told_of_nothing() {
    let queues = Queues::new();
    let (waker, told) = counting();
    let id = queues.hold("a", b"q", 1).expect("held");
    assert_eq!(queues.register("a", b"q", 2, waker, MAX_QUEUE_ENTRIES), Ok(id));
    assert_eq!(queues.hold("a", b"q", 1), Ok(id));
    assert_eq!(queues.hold("a", b"q", 3), Ok(id));
    queues.enqueue(id, b"x").expect("there is room");
    assert_eq!(told.load(Ordering::Relaxed), 1);
    queues.release(2);
    queues.release(3);
    assert_eq!(queues.hold("a", b"q", 1), Ok(id), "it is still there");
    queues.release(1);
    assert_ne!(queues.hold("a", b"q", 1), Ok(id));
}
