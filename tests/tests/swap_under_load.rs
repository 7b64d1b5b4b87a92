//! A filter is replaced again and again under load: nobody notices but by the version they get.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::{Client, Gateway, Origin, Request, eventually, pause, wasm};

const REPLACEMENTS: usize = 20;
/// Paced together to about 1,000 requests per second.
const CLIENTS: u64 = 4;
const REQUESTS_PER_SECOND: u64 = 1_000;
/// Between two replacements.
const REST: Duration = Duration::from_millis(150);
/// From the rename of a file to the first response of the new version: promised is one second; machines that run tests
/// may be slow.
const MAX_DELAY: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Tally {
    failures: Mutex<Vec<String>>,
    /// When each stamp was first seen, and how often.
    stamps: Mutex<BTreeMap<usize, (Instant, usize)>>,
    served: AtomicUsize,
    over: AtomicBool,
}

impl Tally {
    /// One client: never retries, checks each response.
    fn load(&self, mut client: Client) {
        let interval = Duration::from_micros(1_000_000 * CLIENTS / REQUESTS_PER_SECOND);
        let mut due = Instant::now();
        while !self.over.load(Ordering::SeqCst) {
            pause(due.saturating_duration_since(Instant::now()));
            due += interval;
            match client.try_send(&Request::get("/")) {
                Err(error) => return self.fail(format!("{error}")),
                Ok(response) => match (response.status, response.headers.all("x-stamp").as_slice()) {
                    (200, [stamp]) => self.note(stamp),
                    (status, stamps) => self.fail(format!("{status} {stamps:?}")),
                },
            }
        }
    }

    fn note(&self, stamp: &str) {
        self.served.fetch_add(1, Ordering::SeqCst);
        match stamp.strip_prefix('v').and_then(|number| number.parse().ok()) {
            Some(number) => {
                self.stamps
                    .lock()
                    .expect("no client panics")
                    .entry(number)
                    .or_insert((Instant::now(), 0))
                    .1 += 1
            }
            None => self.fail(format!("stamp {stamp:?}")),
        }
    }

    fn fail(&self, what: String) {
        self.failures.lock().expect("no client panics").push(what);
    }

    fn first_seen(&self, number: usize) -> Option<Instant> {
        self.stamps.lock().expect("no client panics").get(&number).map(|(first, _)| *first)
    }
}

#[test]
fn twenty_replacements_under_load_fail_no_request() {
    let origin = Origin::answering("ok");
    let module = wasm::guest("stamp");
    let config = "workers: 2\nroutes: [{to: origin}]\nupstreams: {origin: 'ORIGIN'}";
    let setup = Gateway::with(config).set("ORIGIN", origin.address());
    let gateway = setup.filter("stamp", &module, "config: v0").start();
    let tally = Tally::default();
    let mut delays = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| tally.load(gateway.connect()));
        }
        for number in 1..=REPLACEMENTS {
            // A module with other bytes each time, so that each replacement is compiled anew.
            gateway.replace_module("stamp", &wasm::annotated(&module, &format!("number {number}")));
            let replaced = gateway.replace_manifest("stamp", &format!("config: v{number}"));
            eventually(&format!("version {number}"), || {
                tally.first_seen(number).is_some() || has_failed(&tally)
            });
            delays.push(tally.first_seen(number).unwrap_or(replaced).saturating_duration_since(replaced));
            pause(REST);
        }
        tally.over.store(true, Ordering::SeqCst);
    });
    let failures = tally.failures.into_inner().expect("no client panics");
    assert!(
        failures.is_empty(),
        "{} of {}: {:?}",
        failures.len(),
        tally.served.load(Ordering::SeqCst),
        failures.first()
    );
    let served = tally.served.load(Ordering::SeqCst);
    assert_eq!(origin.received().len(), served, "each request reached the origin exactly once");
    let slowest = delays.iter().max().copied().unwrap_or_default();
    assert!(slowest < MAX_DELAY, "{delays:?}");
    let stamps = tally.stamps.into_inner().expect("no client panics");
    assert_eq!(stamps.len(), REPLACEMENTS + 1, "every version served");
    println!("{served} requests, slowest replacement visible after {slowest:?}");
}

fn has_failed(tally: &Tally) -> bool {
    !tally.failures.lock().expect("no client panics").is_empty()
}
