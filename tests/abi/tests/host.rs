//! Hosts with bugs, which must not pass.

use abi_kit::{Mode, Verdict, bugs, cases, in_process};

#[test]
fn every_seeded_bug_is_found() {
    let cases = cases();
    for bug in bugs::ALL {
        let mut runnable = cases.iter().filter(|case| case.runs_in(Mode::Host));
        let found =
            runnable.any(|case| Verdict::of(case, &in_process::run(case, Some(bug))) != Verdict::Holds);
        assert!(found, "no case finds {bug:?}");
    }
}
