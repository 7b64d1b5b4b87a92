use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Patience, Waits, WriteClock};

const TICKS_PER_SECOND: u32 = 10;

#[test]
fn a_body_may_fall_short_of_its_rate_for_the_time_of_grace_and_no_tick_longer() {
    let patience = Patience::at_rate(500, Duration::from_secs(10));
    patience.wait();
    for _ in 0..10 * TICKS_PER_SECOND {
        patience.tick();
    }
    assert!(!patience.is_over());
    patience.tick();
    assert!(patience.is_over());
}

#[test]
fn a_body_that_keeps_its_rate_goes_on_for_ever_and_one_that_does_not_ends() {
    for (bytes_per_second, lasts) in [(499, false), (500, true), (501, true), (100_000, true)] {
        let patience = Patience::at_rate(500, Duration::from_secs(10));
        let goes_on = (0..100_000).all(|_| {
            patience.wait();
            for _ in 0..TICKS_PER_SECOND {
                patience.tick();
            }
            let in_time = !patience.is_over();
            patience.progressed(bytes_per_second);
            in_time
        });
        assert_eq!(goes_on, lasts, "{bytes_per_second} per second");
    }
}

#[test]
fn what_came_early_does_not_pay_for_a_later_silence() {
    let patience = Patience::at_rate(500, Duration::from_secs(1));
    patience.wait();
    patience.progressed(1_000_000);
    patience.wait();
    for _ in 0..=TICKS_PER_SECOND {
        patience.tick();
    }
    assert!(patience.is_over());
}

#[test]
fn only_waiting_counts() {
    let patience = Patience::at_rate(500, Duration::from_secs(1));
    for _ in 0..100 {
        patience.tick();
    }
    patience.wait();
    patience.tick();
    patience.end();
    patience.wait();
    for _ in 0..100 {
        patience.tick();
    }
    assert!(!patience.is_over());
}

#[test]
fn requests_that_are_over_are_forgotten() {
    let waits = Waits::default();
    let patiences: Vec<_> = (0..3).map(|_| Patience::for_time(Duration::from_millis(100))).collect();
    for patience in &patiences {
        patience.wait();
        waits.add(patience);
    }
    waits.remove(&patiences[1]);
    waits.tick();
    waits.tick();
    let over: Vec<_> = patiences.iter().map(|patience| patience.is_over()).collect();
    assert_eq!(over, [true, false, true]);
}

#[test]
fn a_stall_is_counted_from_its_beginning_and_ends_with_the_first_byte() {
    let tick = Arc::new(AtomicU32::new(u32::MAX - 1));
    let clock = WriteClock::new(tick.clone());
    assert!(!clock.is_overdue(0));
    clock.stalls();
    for passed in 0..6_u32 {
        assert_eq!(clock.is_overdue(3), passed > 3, "after {passed} ticks");
        clock.stalls();
        tick.fetch_add(1, Ordering::Relaxed);
    }
    clock.moves();
    assert!(!clock.is_overdue(0));
}
