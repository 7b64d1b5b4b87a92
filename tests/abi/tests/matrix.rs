//! The published matrix is what the kit says.

use abi_kit::matrix;

#[test]
fn the_matrix_is_up_to_date() {
    let published = std::fs::read_to_string(matrix::path()).expect("the matrix is published");
    assert!(published == matrix::text(), "run: cargo run -p abi-kit -- matrix");
}

#[test]
fn every_difference_from_envoy_has_a_reason() {
    assert_eq!(matrix::unexplained(), [""; 0]);
}

#[test]
fn every_case_was_run_through_envoy() {
    assert_eq!(
        matrix::unrecorded(),
        [""; 0],
        "run: cargo run -p abi-kit -- score --start tests/abi/start-envoy --record tests/abi/recorded/envoy-1.40.0.txt"
    );
}
