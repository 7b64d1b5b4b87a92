//! The gateway that the requests are sent to: a host for all shipped filters in one chain, and one for each alone.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::wasm;

/// The shipped filters.
pub const FILTERS: [&str; 6] = wasm::SHIPPED;
/// Where all of them are in one chain; twice, because it is where most requests go.
pub(super) const HOSTS: [&str; 8] = [
    "all.test",
    "all.test",
    "api-key.test",
    "deny-list.test",
    "jwt-auth.test",
    "quota.test",
    "rate-limit.test",
    "request-stats.test",
];
/// What `api-key` lets pass.
pub(super) const API_KEY: &str = "2fb1c3d0a9e84a17";
/// Tokens, and the keys that they are signed with.
pub(super) const VECTORS: &str = include_str!("../../../filters/jwt-auth/vectors/vectors.json");

/// Routes and upstream of the configuration, for this origin and a listener `web` that the caller adds.
#[must_use]
pub fn configuration(origin: SocketAddr) -> String {
    let route = |name: &str| format!("  - {{name: {name}, hosts: [{name}.test], to: origin}}\n");
    let routes: String = ["all"].into_iter().chain(FILTERS).map(route).collect();
    format!("routes:\n{routes}upstreams: {{origin: '{origin}'}}\n")
}

/// Of a shipped filter, for the routes that are to have it.
///
/// # Panics
/// If there is no filter of that name.
#[must_use]
pub fn manifest(filter: &str) -> String {
    let (phase, config) = settings(filter);
    // Far more than any callback needs: what hangs is found, and a machine that has no time for a process for a while, with a
    // callback in the middle, is not taken for that.
    let limits = json!({ "callbackCpu": "200ms" });
    json!({ "phase": phase, "match": { "routes": ["all", filter] }, "limits": limits, "config": config })
        .to_string()
}

/// Of a shipped filter, compiled.
#[must_use]
pub fn module(filter: &str) -> Vec<u8> {
    wasm::shipped(filter)
}

fn settings(filter: &str) -> (&'static str, Value) {
    match filter {
        "api-key" => {
            ("authn", json!({ "query": "api_key", "consumers": [{ "name": "acme", "keys": [API_KEY] }] }))
        }
        "jwt-auth" => ("authn", jwt_auth()),
        "deny-list" => (
            "authz",
            json!({ "deny": [
            { "path": { "prefix": "/admin" } },
            { "path": { "suffix": ".php" }, "methods": ["POST", "M-SEARCH"] },
            { "header": { "name": "user-agent", "contains": "BadBot" } },
            { "header": { "name": "referer", "exact": "" } },
            { "addresses": ["10.0.0.0/8", "2001:db8::/32"] },
        ] }),
        ),
        "rate-limit" => (
            "authz",
            json!({ "limits": [
            { "requests": 1_000_000, "per": "1s" },
            { "key": "path", "requests": 1_000_000, "per": "1s" },
            { "key": { "header": "x-key" }, "requests": 100, "per": "1s", "burst": 200 },
        ] }),
        ),
        "quota" => (
            "authz",
            json!({
                "limit": 1_000_000_000, "window": "1h", "consumers": { "busy": 5 }, "anonymous": 1_000_000_000,
            }),
        ),
        "request-stats" => ("stats", json!({ "labels": { "destination_workload": "origin" } })),
        other => panic!("no filter {other}"),
    }
}

fn jwt_auth() -> Value {
    let vectors: Value = serde_json::from_str(VECTORS).expect("vectors are JSON");
    json!({
        "optional": true,
        "from": [{ "header": "authorization" }, { "query": "token" }, { "cookie": "token" }],
        "issuers": [{
            "issuer": "https://issuer.test",
            "jwks": { "inline": vectors["jwks"] },
            "claimsToHeaders": [{ "claim": "sub", "header": "x-user" }],
        }],
    })
}
