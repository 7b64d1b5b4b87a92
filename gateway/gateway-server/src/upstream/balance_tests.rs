use super::*;

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

/// Which share of many draws each endpoint gets, in percent.
fn shares(weights: &[u32], active: &[u64]) -> Vec<u32> {
    const DRAWS: u32 = 20_000;
    let (draws, random) = (LeastRequest::new(weights.iter().copied()), Random::new());
    let mut taken = vec![0; weights.len()];
    for _ in 0..DRAWS {
        taken[draws.next(&random, |index| active[index]).unwrap()] += 1;
    }
    taken.iter().map(|taken| taken * 100 / DRAWS).collect()
}

#[test]
fn of_two_the_one_with_fewer_requests_gets_the_next() {
    let two = shares(&[1, 1], &[3, 2]);
    assert!(two[1] >= 85, "{two:?}");
    let three = shares(&[1, 1, 1], &[9, 0, 0]);
    assert!(three[0] <= 5 && three[1] >= 40 && three[2] >= 40, "{three:?}");
}

#[test]
fn weights_hold_among_equally_loaded_endpoints_and_scale_what_counts_as_load() {
    let idle = shares(&[3, 1], &[0, 0]);
    assert!((70..=80).contains(&idle[0]), "{idle:?}");
    let fair = shares(&[3, 1], &[3, 1]);
    assert!((70..=80).contains(&fair[0]), "{fair:?}");
    let heavy_is_busy = shares(&[3, 1], &[4, 1]);
    assert!(heavy_is_busy[1] > 50, "{heavy_is_busy:?}");
}

#[test]
fn one_endpoint_is_taken_and_none_is_not() {
    let random = Random::new();
    assert_eq!(LeastRequest::new([7].into_iter()).next(&random, |_| 9), Some(0));
    assert_eq!(LeastRequest::new([].into_iter()).next(&random, |_| 0), None);
}
