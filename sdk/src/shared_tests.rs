use super::*;
use crate::host::native::{self, State};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_767_225_600 * SECOND;

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let bucket = TokenBucket { burst: 3, tokens: 2, per: Duration::from_secs(1) };
    let mut state = 0;
    let mut take = |now_ns: u64, tokens: u64| {
        let (admission, full_at) = bucket.decide(state, now_ns, tokens);
        if admission.admitted {
            state = full_at;
        }
        admission
    };
    let remaining: Vec<u64> = (0..3).map(|_| take(NOW, 1).remaining).collect();
    assert_eq!(remaining, [2, 1, 0]);
    let refused = take(NOW, 1);
    assert!(!refused.admitted);
    assert_eq!(refused.retry_after, Duration::from_millis(500));
    assert_eq!(refused.reset_after, Duration::from_millis(1_500));
    assert!(!take(NOW + SECOND / 2 - 1, 1).admitted, "a nanosecond too early");
    assert!(take(NOW + SECOND / 2, 1).admitted);
    assert!(!take(NOW + SECOND / 2, 1).admitted);
    assert_eq!(take(NOW + 100 * SECOND, 0).remaining, 3, "no more than the burst");
    assert!(!take(NOW + 100 * SECOND, 4).admitted, "more than it ever holds");
    assert!(take(NOW + 100 * SECOND, 3).admitted);
}

#[test]
fn a_bucket_survives_a_clock_that_is_set_back() {
    let bucket = TokenBucket { burst: 1, tokens: 1, per: Duration::from_secs(1) };
    let (_, full_at) = bucket.decide(0, NOW, 1);
    let (refused, _) = bucket.decide(full_at, NOW - 1_000 * SECOND, 1);
    assert!(!refused.admitted);
    assert_eq!(refused.retry_after, Duration::from_secs(1), "not a thousand seconds");
}

#[test]
fn no_stretch_of_a_windows_length_has_more_than_its_limit() {
    let window = RollingWindow { limit: 5, window: Duration::from_secs(1) };
    let mut state = [0; WINDOW_PARTS + 2];
    let mut admitted: Vec<u64> = Vec::new();
    // A deterministic sequence of steps between 0 and 255 ms.
    let (mut now_ns, mut step) = (NOW, 7_u64);
    for _ in 0..2_000 {
        step = (step * 197 + 31) % 256;
        now_ns += step * 1_000_000 / 4;
        if window.decide(&mut state, now_ns, 1).admitted {
            admitted.push(now_ns);
        }
    }
    assert!(admitted.len() > 250, "{}", admitted.len());
    for six in admitted.windows(6) {
        assert!(six[5] - six[0] >= SECOND, "six within {} ns", six[5] - six[0]);
    }
}

#[test]
fn a_window_says_when_to_come_again_and_keeps_its_word() {
    let window = RollingWindow { limit: 3, window: Duration::from_secs(10) };
    let mut state = [0; WINDOW_PARTS + 2];
    assert_eq!(window.decide(&mut state, NOW, 2).remaining, 1);
    assert_eq!(window.decide(&mut state, NOW + 4 * SECOND, 1).remaining, 0);
    let now_ns = NOW + 5 * SECOND;
    let refused = window.decide(&mut state, now_ns, 1);
    assert!(!refused.admitted);
    let again = now_ns + nanoseconds(refused.retry_after);
    assert!((NOW + 10 * SECOND..=NOW + 11 * SECOND).contains(&again), "{:?}", refused.retry_after);
    assert!(!window.decide(&mut state.clone(), again - 1, 1).admitted);
    assert!(window.decide(&mut state.clone(), again, 2).admitted);
    let three = window.decide(&mut state, now_ns, 3);
    assert!(window.decide(&mut state.clone(), now_ns + nanoseconds(three.retry_after), 3).admitted);
    assert!(!window.decide(&mut state, now_ns, 4).admitted, "more than it ever admits");
}

/// Runs against a host on which other workers store these, in turn, just before this one does.
fn beside<T>(mut others: Vec<Vec<u8>>, work: impl FnOnce() -> T) -> T {
    others.reverse();
    let state = State { now_ns: NOW, interferences: others, ..State::default() };
    native::run(state, work).0
}

#[test]
fn no_change_is_lost_to_others_not_even_the_first() {
    let others = vec![5_u64.to_le_bytes().to_vec(), 7_u64.to_le_bytes().to_vec()];
    let sum = beside(others, || SharedCounter::new("c").add(1));
    assert_eq!(sum, Ok(8), "the others made the counter, and went on counting");

    let value = beside(vec![br#"{"until":null,"value":"other"}"#.to_vec()], || {
        Shared::<String>::new("v").update(|known| known.unwrap_or_default() + "+mine")
    });
    assert_eq!(value, Ok("other+mine".to_owned()));

    let bucket = TokenBucket { burst: 2, tokens: 1, per: Duration::from_secs(1) };
    let empty_at = (NOW + 2 * SECOND).to_le_bytes().to_vec();
    let admission = beside(vec![empty_at], || bucket.take("b", 1)).expect("the host answers");
    assert!(!admission.admitted, "the others took everything meanwhile");
}

#[test]
fn values_are_absent_after_their_time_and_when_they_are_of_another_type() {
    let state = State { now_ns: NOW, ..State::default() };
    let shared = || Shared::<u32>::new("v");
    let (_, mut state) = native::run(state, || shared().set_for(Duration::from_secs(1), &7));
    state.now_ns += SECOND - 1_000_000;
    let (found, mut state) = native::run(state, || shared().get());
    assert_eq!(found, Ok(Some(7)));
    let (found, state_after) = native::run(state, || Shared::<String>::new("v").get());
    assert_eq!(found, Ok(None));
    state = state_after;
    state.now_ns += 1_000_000;
    assert_eq!(native::run(state, || shared().get()).0, Ok(None));
}
