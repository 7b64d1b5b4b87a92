//! Runs cases through the gateway, in this process.

use gateway_tests::Gateway;

use crate::case::Case;
use crate::outcome::{Outcome, Verdict};
use crate::over_port::{self, Upstreams};

/// Runs a case through a gateway of its own.
#[must_use]
pub fn run(case: &Case) -> Verdict {
    let upstreams = Upstreams::new();
    let setup = Gateway::with(
        "routes: [{name: all, match: [{path: {prefix: /}}], to: [{upstream: origin}]}]
upstreams:
  origin: {endpoints: ['ORIGIN']}
  refused: {endpoints: ['REFUSED']}
  forbidden: {endpoints: ['ORIGIN']}",
    )
    .set("ORIGIN", upstreams.origin())
    .set("REFUSED", upstreams.refused());
    let module = crate::guest::module(case);
    let manifest = manifest(case, &case.config);
    let outcome = if case.refused.is_some() {
        let gateway = setup.broken_filter("abi", &module, &manifest).start();
        Outcome { refused: Some(gateway.await_refusal("abi")), ..Outcome::default() }
    } else {
        let mut setup = setup.filter("abi", &module, &manifest);
        if let Some(config) = &case.beside {
            setup = setup.filter("beside", &module, &self::manifest(case, config));
        }
        let gateway = setup.start();
        over_port::run(case, gateway.address(), &upstreams)
    };
    Verdict::of(case, &outcome)
}

fn manifest(case: &Case, config: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    // Cases are about one request, and some end badly on purpose.
    let mut lines = vec!["rootId: root".to_owned(), "rehearsal: false".to_owned()];
    if !case.manifest.iter().any(|line| line.starts_with("capabilities")) {
        lines.push("capabilities: {callouts: [origin, refused]}".to_owned());
    }
    if !config.is_empty() {
        lines.push(format!("config: {}", quoted(config)));
    }
    if case.beside.is_some() {
        lines.push("vmId: abi".to_owned());
    }
    if !case.vm_config.is_empty() {
        lines.push(format!("vmConfig: {}", quoted(&case.vm_config)));
    }
    if case.body_while_paused {
        lines.push("bodyWhilePaused: true".to_owned());
    }
    if !case.manifest.iter().any(|line| line.starts_with("limits")) {
        lines.push("limits: {pause: 1s}".to_owned());
    }
    if !case.env.is_empty() {
        let pairs: Vec<_> =
            case.env.iter().map(|(name, value)| format!("{name}: {}", quoted(value))).collect();
        lines.push(format!("env: {{{}}}", pairs.join(", ")));
    }
    lines.extend(case.manifest.iter().cloned());
    lines.join("\n")
}
