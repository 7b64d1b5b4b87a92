use super::RoundRobin;

fn sequence(weights: &[u32], turns: usize) -> Vec<usize> {
    let round_robin = RoundRobin::new(weights.iter().copied(), 0);
    (0..turns).filter_map(|_| round_robin.next()).collect()
}

#[test]
fn equal_weights_rotate() {
    assert_eq!(sequence(&[1, 1, 1], 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn weights_are_exact_over_a_cycle_and_spread_out() {
    assert_eq!(sequence(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
    let long = sequence(&[90, 10], 1000);
    assert_eq!(long.iter().filter(|&&index| index == 1).count(), 100);
}

#[test]
fn workers_start_apart_and_nothing_is_picked_from_nothing() {
    assert_eq!(RoundRobin::new([1, 1].into_iter(), 1).next(), Some(1));
    assert_eq!(RoundRobin::new([].into_iter(), 3).next(), None);
}
