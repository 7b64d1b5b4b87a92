use super::*;

fn at(cpu_ms: u64, wall_ms: u64) -> Clocks {
    Clocks { cpu: Duration::from_millis(cpu_ms), wall: Duration::from_millis(wall_ms) }
}

#[test]
fn cpu_beyond_the_budget_ends_the_call() {
    let mut deadline = Deadline::new(Duration::from_millis(10));
    assert!(deadline.check(at(100, 0)).is_ok(), "the first tick only starts the measure");
    assert!(deadline.check(at(110, 10)).is_ok());
    assert!(deadline.check(at(111, 11)).is_err());
}

#[test]
fn a_preempted_guest_is_spared_until_ten_times_the_budget() {
    let mut deadline = Deadline::new(Duration::from_millis(10));
    assert!(deadline.check(at(0, 0)).is_ok());
    assert!(deadline.check(at(1, 100)).is_ok());
    assert!(deadline.check(at(1, 101)).is_err());
}

#[test]
fn arming_starts_a_new_measure() {
    let mut deadline = Deadline::new(Duration::from_millis(10));
    assert!(deadline.check(at(0, 0)).is_ok());
    deadline.arm(Duration::from_millis(5));
    assert!(deadline.check(at(50, 500)).is_ok());
    assert!(deadline.check(at(56, 506)).is_err());
}

#[test]
fn cpu_time_is_measured_in_calls_with_a_tick_and_told_once() {
    let mut deadline = Deadline::new(Duration::from_secs(10));
    deadline.end();
    assert_eq!(deadline.take_measured(), None, "no tick, no system call");
    for _ in 0..2 {
        deadline.arm(Duration::from_secs(10));
        assert!(deadline.on_tick().is_ok());
        deadline.end();
    }
    assert!(deadline.take_measured().is_some_and(|cpu| cpu < Duration::from_secs(1)));
    assert_eq!(deadline.take_measured(), None);
}
