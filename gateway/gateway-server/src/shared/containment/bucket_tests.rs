use super::*;

const START: u64 = 100 * SECOND_NS;

#[test]
fn a_seconds_worth_is_there_at_once_and_the_rest_at_the_rate() {
    let bucket = Bucket::new(10);
    assert_eq!((0..20).filter(|_| bucket.take(START, 1)).count(), 10);
    assert!(!bucket.take(START + SECOND_NS / 20, 1), "half of one came in");
    assert!(bucket.take(START + SECOND_NS / 10, 1));
    assert!(!bucket.take(START + SECOND_NS / 10, 1));
    // A pause of any length is worth one second.
    assert_eq!((0..20).filter(|_| bucket.take(2 * START, 1)).count(), 10);
}

#[test]
fn what_was_used_beyond_it_is_owed_for_as_long_as_it_takes_to_come_in() {
    // Half of a core.
    let bucket = Bucket::new(SECOND_NS / 2);
    bucket.spend(START, SECOND_NS / 2);
    assert_eq!(bucket.owed_ns(START), 0);
    bucket.spend(START, SECOND_NS / 4);
    assert_eq!(bucket.owed_ns(START), SECOND_NS / 2);
    assert_eq!(bucket.owed_ns(START + SECOND_NS / 4), SECOND_NS / 4);
    assert_eq!(bucket.owed_ns(START + SECOND_NS / 2), 0);
}

#[test]
fn a_rate_of_nothing_gives_nothing_and_amounts_beyond_a_second_never_fit() {
    assert!(!Bucket::new(0).take(START, 1));
    assert!(!Bucket::new(4_096).take(START, 4_097));
    assert!(Bucket::new(4_096).take(START, 4_096));
}

#[test]
fn many_threads_together_get_what_one_would() {
    let bucket = Bucket::new(1_000);
    let taken: usize = std::thread::scope(|scope| {
        let take = || (0..1_000).filter(|_| bucket.take(START, 1)).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 1_000);
}
