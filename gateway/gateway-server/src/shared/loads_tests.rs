use super::*;

#[test]
fn connections_stay_until_a_worker_is_too_far_ahead() {
    let loads = Loads::new(2);
    // All arrive at worker 0.
    let mut seats = Vec::new();
    for (expected, after) in [(0, [1, 0]), (1, [1, 1]), (0, [2, 1]), (1, [2, 2]), (0, [3, 2])] {
        let seat = loads.take_seat(0);
        assert_eq!((seat.worker, [loads.of(0), loads.of(1)]), (expected, after));
        seats.push(seat);
    }
    drop(seats);
    assert_eq!([loads.of(0), loads.of(1)], [0, 0], "seats are given back");
}

#[test]
fn among_many_connections_a_share_more_is_no_reason_to_move() {
    let loads = Loads::new(3);
    let _least: Vec<_> = (0..100).map(|_| loads.seat_at(1)).collect();
    let _other: Vec<_> = (0..110).map(|_| loads.seat_at(2)).collect();
    let _own: Vec<_> = (0..125).map(|_| loads.seat_at(0)).collect();
    let stays = loads.take_seat(0);
    assert_eq!(stays.worker, 0);
    assert_eq!(loads.take_seat(0).worker, 1, "126 are too many beside 100");
    assert_eq!(loads.take_seat(2).worker, 2);
}

#[test]
fn the_spread_ends_within_the_bound_wherever_connections_arrive() {
    let loads = Loads::new(4);
    let seats: Vec<_> =
        (0..1_000).map(|n| loads.take_seat(if n % 10 == 0 { n / 10 % 4 } else { 2 })).collect();
    let counts: Vec<_> = (0..4).map(|worker| loads.of(worker)).collect();
    let least = counts.iter().min().expect("four");
    assert!(counts.iter().all(|count| *count <= least + MAX_LEAD + least / MAX_LEAD_SHARE), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), seats.len());
}

#[test]
fn one_worker_has_nobody_to_hand_to() {
    let loads = Loads::new(1);
    let seats: Vec<_> = (0..10).map(|_| loads.take_seat(0)).collect();
    assert!(seats.iter().all(|seat| seat.worker == 0));
}
