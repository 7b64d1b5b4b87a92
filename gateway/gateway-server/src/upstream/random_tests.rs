use super::*;

#[test]
fn numbers_are_spread_over_what_was_asked_for() {
    let random = Random::new();
    let mut seen = [0_u32; 10];
    for _ in 0..10_000 {
        seen[usize::try_from(random.below(10)).unwrap()] += 1;
    }
    assert!(seen.iter().all(|times| (800..1200).contains(times)), "{seen:?}");
    assert_eq!(random.below(1), 0);
    assert_eq!(random.below(0), 0);
}
