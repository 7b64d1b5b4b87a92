//! Every case against the host crate, and hosts with bugs that must not pass.

use abi_kit::{Mode, Verdict, bugs, cases, in_process};

#[test]
fn every_case_holds_in_process() {
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| case.runs_in(Mode::Host)) {
        if let Verdict::Fails(how) = Verdict::of(case, &in_process::run(case, None)) {
            wrong.push(format!("{} (line {}): {how}", case.id(), case.line));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

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
