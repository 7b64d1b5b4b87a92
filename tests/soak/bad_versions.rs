//! Ten bad versions of a filter in a row under load: what they cost, how soon they are gone, and what is told of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_tests::mortal::free_address;
use gateway_tests::pause;
use serde_json::Value;

use crate::gateway::{Gateway, replace};
use crate::load::{self, Target};
use crate::origin::{self, Counts};
use crate::tally::Tally;
use gateway_tests::versions::{LEAKS, SLOW, TRAPS, bad_at_load, version};

const REQUESTS_PER_SECOND: f64 = 2_000.0;
const CLIENTS: usize = 16;
/// Of the canary; a bad version must be gone within it.
const WINDOW: Duration = Duration::from_secs(20);
const MANIFEST: &str = "rollout: {canary: {share: 5%, window: 20s, minRequests: 500, sticky: request}}
limits: {startCpu: 200ms, callbackCpu: 500ms}";

fn newest(gateway: &Gateway) -> Option<(usize, Value)> {
    let history: Value = serde_json::from_str(&gateway.admin_get("/filters/app/history")).ok()?;
    let entries = history["history"].as_array()?;
    Some((entries.len(), entries.first()?.clone()))
}

#[test]
#[ignore = "takes a minute"]
fn ten_bad_versions_under_load_cost_what_the_canary_costs() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let counts = Arc::new(Counts::default());
    let origin = runtime.block_on(origin::start(counts));
    let web = free_address();
    let folder = Gateway::folder();
    let filters = folder.path().join("filters");
    replace(&filters.join("app.yaml"), MANIFEST.as_bytes());
    replace(&filters.join("app.wasm"), &version('a', ""));
    let gateway = Gateway::start(
        folder,
        &format!(
            "workers: 2\nlisteners: [{{name: web, bind: '{web}'}}]\nroutes: [{{to: app, responseHeaders: {{set: {{x-config: '0', x-stamp: '0'}}}}}}]\n\
             upstreams: {{app: '{origin}'}}\nfilters: {{directory: filters, state: state}}\naccessLog: off"
        ),
    );
    let tally = Arc::<Tally>::default();
    let target = Target { address: web, tls: None };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let share = REQUESTS_PER_SECOND / CLIENTS as f64;
            runtime.spawn(load::http1(target.clone(), share, tally.clone()))
        })
        .collect();
    pause(Duration::from_secs(2));
    let at_run_time =
        [("traps", version('b', TRAPS)), ("slow", version('c', SLOW)), ("leaks", version('d', LEAKS))];
    let at_load = bad_at_load().into_iter().map(|(name, module, ..)| (name, module));
    let mut failed_before = tally.failures().0;
    assert_eq!(failed_before, 0, "before the first bad version: {:?}", tally.failures().1);
    for (number, (name, module)) in (2..).zip(at_load.chain(at_run_time)) {
        replace(&gateway.directory().join("filters/app.wasm"), &module);
        let (dropped, served) = (Instant::now(), tally.served());
        let entry = loop {
            match newest(&gateway) {
                Some((entries, entry)) if entries == number && entry["state"] != "trial" => break entry,
                _ => assert!(dropped.elapsed() < WINDOW, "{name} is not gone: {:?}", newest(&gateway)),
            }
            pause(Duration::from_millis(20));
        };
        let failed = tally.failures().0;
        println!(
            "{name:16} {:>8.1?}: {} at {}, {} requests meanwhile, {} failed: {}",
            dropped.elapsed(),
            entry["reason"],
            entry["gate"],
            tally.served() - served,
            failed - failed_before,
            entry["ended"]
                .as_str()
                .filter(|why| *why != "refused")
                .or(entry["message"].as_str())
                .unwrap_or("")
        );
        if name != "traps" {
            assert_eq!(failed, failed_before, "{name}: {:?}", tally.failures().1);
        }
        failed_before = failed;
    }
    tally.end();
    runtime.block_on(async {
        for client in clients {
            client.await.expect("a client that ends");
        }
    });
    println!("{} requests served, {} failed", tally.served(), tally.failures().0);
    gateway.stop();
}
