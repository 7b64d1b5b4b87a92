//! Every case through the gateway, over sockets.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi_kit::{Mode, Verdict, cases, gateway};

/// Gateways that run at the same time.
const AT_ONCE: usize = 4;

#[test]
fn every_case_holds_through_the_gateway() {
    let cases: Vec<_> = cases().into_iter().filter(|case| case.runs_in(Mode::Gateway)).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Verdict::Fails(how) = gateway::run(case) {
                        let text = format!("{} (line {}): {how}", case.id(), case.line);
                        wrong.lock().expect("no thread panics while it holds this").push(text);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panics while it holds this");
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
