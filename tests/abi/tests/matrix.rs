//! Every case, in this process and through the gateway; and the published matrix, which is what was seen.

use abi_kit::{Verdict, matrix};

#[test]
fn every_case_holds_and_the_matrix_is_up_to_date() {
    let rows = matrix::run();
    let mut wrong = Vec::new();
    for row in &rows {
        for (way, verdict) in [("in process", &row.host), ("through the gateway", &row.gateway)] {
            if let Verdict::Fails(how) = verdict {
                wrong.push(format!("{} (line {}), {way}: {how}", row.case.id(), row.case.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    let published = std::fs::read_to_string(matrix::path()).expect("the matrix is published");
    assert!(published == matrix::text(&rows), "run: cargo run -p abi-kit -- matrix");
}

#[test]
fn every_case_is_run_here() {
    let nowhere =
        |case: &abi_kit::Case| !case.runs_in(abi_kit::Mode::Host) && !case.runs_in(abi_kit::Mode::Gateway);
    let nowhere: Vec<_> =
        abi_kit::cases().iter().filter(|case| nowhere(case)).map(abi_kit::Case::id).collect();
    assert_eq!(nowhere, [""; 0]);
}

#[test]
fn every_difference_from_envoy_has_a_reason() {
    assert_eq!(matrix::unexplained(), [""; 0]);
    assert_eq!(matrix::unseen(), [""; 0], "these have a reason, and no difference");
}

#[test]
fn every_case_was_run_through_envoy() {
    assert_eq!(
        matrix::unrecorded(),
        [""; 0],
        "run: cargo run -p abi-kit -- score --start tests/abi/start-envoy --record tests/abi/recorded/envoy-1.40.0.txt"
    );
}
