//! When a gateway that has started says that it is ready.
//!
//! Owns the decision alone: what is waited for comes from the filters, and acting on it is the control loop's.

use std::time::Duration;

use super::filters::Waiting;

/// Longest wait, from the start of the process, for filters that are required or expected. A gateway that is never ready
/// is of less use than one whose failure policies answer.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readiness {
    Waiting,
    Ready,
    /// Ready although filters are not live: it took too long.
    GivenUp,
}

pub(crate) fn decide(waiting: &[Waiting], since_start: Duration) -> Readiness {
    match waiting {
        [] => Readiness::Ready,
        _ if since_start < READY_TIMEOUT => Readiness::Waiting,
        _ => Readiness::GivenUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_filters_hold_readiness_for_a_bounded_time() {
        let missing = [Waiting { filter: "auth".to_owned(), reason: "not there".to_owned() }];
        let last_moment = READY_TIMEOUT - Duration::from_millis(1);
        assert_eq!(decide(&[], Duration::ZERO), Readiness::Ready);
        assert_eq!(decide(&missing, Duration::ZERO), Readiness::Waiting);
        assert_eq!(decide(&missing, last_moment), Readiness::Waiting);
        assert_eq!(decide(&missing, READY_TIMEOUT), Readiness::GivenUp);
        assert_eq!(decide(&[], READY_TIMEOUT), Readiness::Ready);
    }
}
