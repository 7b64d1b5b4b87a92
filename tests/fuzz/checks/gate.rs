//! Any bytes from a client: what the gate lets through, another parser reads as the same number of requests, each with one
//! length; and what is written anew from that reading passes again, and reads the same.

use gateway_wire::gate::{Limits, Next, RequestGate};

use super::reading::{Reading, forwarded, requests};

pub const LIMITS: Limits = Limits { head_bytes: 64 * 1024, headers: 100 };

pub fn check(data: &[u8]) {
    let _ = accepted(data);
}

/// What passes of some bytes, as another parser reads it.
///
/// # Panics
/// On a finding.
pub fn accepted(data: &[u8]) -> (&[u8], Vec<Reading>) {
    let mut gate = RequestGate::new(LIMITS);
    let scan = gate.scan(data);
    let passed = &data[..scan.passed];
    assert!(
        scan.passed == data.len() || scan.next != Next::More || !gate.is_in_body(),
        "bytes of a body are held"
    );
    let is_refused = matches!(scan.next, Next::Refused(_));
    let readings = requests(passed);
    assert_eq!(
        readings.len() as u64,
        gate.heads(),
        "the number of requests: {:?}",
        String::from_utf8_lossy(passed)
    );
    for reading in &readings {
        assert!(reading.is_whole || gate.is_in_body() || is_refused, "the gate saw an end that there is not");
        let hosts = reading.all("host").len();
        assert!(hosts == 1 || (hosts == 0 && reading.minor_version == 0), "{hosts} hosts");
        rebuild(reading);
    }
    let whole: Vec<_> = readings.iter().filter(|reading| reading.is_whole).collect();
    let forwarded = forwarded(whole.iter().copied());
    let mut gate = RequestGate::new(LIMITS);
    let outcome = gate.scan(&forwarded);
    assert_eq!(
        (outcome.passed, gate.heads()),
        (forwarded.len(), whole.len() as u64),
        "{:?}",
        String::from_utf8_lossy(&forwarded)
    );
    for (again, reading) in requests(&forwarded).iter().zip(whole) {
        assert_eq!(
            (&again.method, &again.target, &again.body),
            (&reading.method, &reading.target, &reading.body)
        );
    }
    (passed, readings)
}

fn rebuild(reading: &Reading) {
    let head = reading.rebuilt();
    let mut gate = RequestGate::new(LIMITS);
    let scan = gate.scan(&head);
    assert_eq!((scan.passed, gate.heads()), (head.len(), 1), "{:?}", String::from_utf8_lossy(&head));
    let mut again = requests(&head);
    assert_eq!(again.len(), 1);
    let again = again.remove(0);
    assert_eq!((&again.method, &again.target), (&reading.method, &reading.target));
    let values =
        |reading: &Reading| reading.headers.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
    assert_eq!(values(&again), values(reading));
}
