use std::collections::HashSet;

use super::*;

#[test]
fn numbers_differ_and_fill_everything() {
    let numbers: HashSet<u64> = (0..1_000).map(|_| u64().unwrap()).collect();
    assert_eq!(numbers.len(), 1_000);
    for size in [0, 1, 63, 64, 65, 100_000] {
        let mut bytes = vec![0; size];
        fill(&mut bytes).unwrap();
        let zeros = bytes.iter().filter(|byte| **byte == 0).count();
        assert!(size < 16 || zeros < size / 4, "{zeros} of {size} are zero");
    }
}

#[test]
fn a_copy_does_not_use_what_was_drawn_before() {
    let mut one = [0; 1];
    fill(&mut one).unwrap();
    RESERVE.with_borrow(|reserve| assert_eq!(reserve.len(), RESERVE_BYTES - 1));
    on_copy();
    RESERVE.with_borrow(|reserve| assert!(reserve.is_empty()));
}
