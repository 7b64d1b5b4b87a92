//! Waiting for a condition: the only way in which tests wait.

use std::time::{Duration, Instant};

/// Longest wait for anything that should happen soon.
pub const LIMIT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `probe` is true.
///
/// # Panics
/// After [`LIMIT`], naming `what`.
pub fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    eventually_some(what, || probe().then_some(()));
}

/// Waits until `probe` finds something, and returns it.
///
/// # Panics
/// After [`LIMIT`], naming `what`.
pub fn eventually_some<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        pause(POLL_INTERVAL);
    }
}

/// Lets time pass where slowness itself is what a test is about (a slow peer, a paced load).
#[allow(clippy::disallowed_methods, reason = "this is a test's thread, not a worker's")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
