//! Which requests a version on trial gets.

use crate::refusal::{Gate, Refusal};
use gateway_config::{Manifest, Rollout, parse_manifest};

use super::*;
use crate::shared::Containment;

fn trial(rollout: &str) -> Arc<Trial> {
    let manifest = parse_manifest(&format!("rollout: {rollout}"), "a.yaml").unwrap();
    let plan = match manifest.rollout {
        Rollout::Canary(canary) => Plan::Canary(canary),
        Rollout::Shadow(shadow) => Plan::Shadow(shadow),
        Rollout::AtOnce => panic!("no trial"),
    };
    let manifest = Manifest::default_for("a");
    let spec = FilterSpec {
        name: "a".into(),
        version: "-".into(),
        containment: Containment::new(&"a".into(), &"1".into(), &manifest, None),
        manifest,
        live: Err(Refusal::at(Gate::Present, "only its name is asked for")),
    };
    Trial::new(Arc::new(spec), plan)
}

fn user(name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-user", name.parse().unwrap());
    headers
}

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// Of 10,000 requests; six standard deviations of a fair choice.
fn is_about(share: f64, taken: usize) -> bool {
    let expected = share * 10_000.0;
    (taken as f64 - expected).abs() < 6.0 * (expected * (1.0 - share)).sqrt()
}

#[test]
fn the_share_is_that_of_the_manifest() {
    let by_request = trial("{canary: {share: 5%, sticky: request}}");
    let taken = (0..10_000).filter(|count| by_request.takes(ONE, &HeaderMap::new(), *count)).count();
    assert!(is_about(0.05, taken), "{taken}");
    let by_header = trial("{canary: {share: 20%, sticky: {header: x-user}}}");
    let taken = (0..10_000).filter(|number| by_header.takes(ONE, &user(&format!("u{number}")), 0)).count();
    assert!(is_about(0.2, taken), "{taken}");
    let by_client = trial("{canary: {share: 50%}}");
    let client = |number: u32| IpAddr::V4(number.into());
    let taken = (0..10_000).filter(|number| by_client.takes(client(*number), &HeaderMap::new(), 0)).count();
    assert!(is_about(0.5, taken), "{taken}");
    let all = trial("{shadow: {share: 100%}}");
    assert!((0..1_000).all(|count| all.takes(ONE, &HeaderMap::new(), count)));
}

#[test]
fn who_is_taken_stays_with_the_version() {
    let by_header = trial("{canary: {share: 50%, sticky: {header: x-user}}}");
    for name in (0..50).map(|number| format!("u{number}")) {
        let first = by_header.takes(ONE, &user(&name), 0);
        let other_client = IpAddr::V4(7.into());
        assert!((1..20).all(|count| by_header.takes(other_client, &user(&name), count) == first), "{name}");
    }
    let by_client = trial("canary");
    let first = by_client.takes(ONE, &HeaderMap::new(), 0);
    assert!((1..200).all(|count| by_client.takes(ONE, &user(&count.to_string()), count) == first));
}

#[test]
fn another_trial_takes_others() {
    let taken = |trial: Arc<Trial>| {
        (0..200).map(|n| trial.takes(IpAddr::V4(n.into()), &HeaderMap::new(), 0)).collect::<Vec<_>>()
    };
    assert_ne!(taken(trial("{canary: {share: 50%}}")), taken(trial("{canary: {share: 50%}}")));
}
