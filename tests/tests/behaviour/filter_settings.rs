//! The configuration of a filter is checked by what its module says it takes, and secrets are filled in.

use std::fs;

use gateway_tests::{Gateway, Origin, Request, eventually, wasm};

/// Of an API key that must be nowhere to be seen.
const SECRET: &str = "s3cr3t-0f-ann";
const MANIFEST: &str = "
secrets: {ann: {file: ../ann.key}}
config:
  consumers:
    - {name: ann, keys: [{secret: ann}]}
";

fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.send(&Request::get("/").header("x-api-key", key)).status
}

#[test]
fn what_a_module_does_not_take_is_refused_with_its_place() {
    let origin = Origin::answering("ok");
    let good = "config: {consumers: [{name: ann, keys: [k]}]}";
    let gateway = Gateway::to(&origin).filter("api-key", &wasm::shipped("api-key"), good).start();
    assert_eq!(status(&gateway, "k"), 200);
    gateway.replace_manifest("api-key", "config:\n  consumers: [{name: ann, kesy: [other]}]\n  raelm: x\n");
    let refusal = gateway.await_refusal("api-key");
    for line in [
        "2 errors in api-key.yaml",
        "api-key.yaml:2:27 unknown field `kesy` in config.consumers[0]; did you mean `keys`?",
        "api-key.yaml:3:3 unknown field `raelm` in config; did you mean `realm`?",
    ] {
        assert!(refusal.contains(line), "{refusal}");
    }
    // The last good version serves on.
    assert_eq!((status(&gateway, "k"), status(&gateway, "other")), (200, 403));
    gateway.replace_manifest("api-key", &good.replace("[k]", "[other]"));
    eventually("the repaired configuration", || status(&gateway, "other") == 200);
}

#[test]
fn an_upstream_in_a_configuration_must_be_there_and_allowed() {
    let origin = Origin::answering("ok");
    let manifest = |capabilities: &str, upstream: &str| {
        format!(
            "{capabilities}\nconfig: {{issuers: [{{issuer: i, jwks: {{remote: {{upstream: {upstream}, path: /}}}}}}]}}"
        )
    };
    let gateway = Gateway::with("routes: [{to: origin}]\nupstreams: {origin: 'ORIGIN', idp: 'ORIGIN'}\n")
        .set("ORIGIN", origin.address())
        .broken_filter("jwt-auth", &wasm::shipped("jwt-auth"), &manifest("", "idp"))
        .start();
    let refusal = gateway.await_refusal("jwt-auth");
    assert!(
        refusal.contains("which this filter may not call; write `capabilities: {callouts: [idp]}`"),
        "{refusal}"
    );
    gateway.replace_manifest("jwt-auth", &manifest("capabilities: {callouts: [idp]}", "ipd"));
    eventually("another refusal", || {
        gateway.await_refusal("jwt-auth").contains("which is not in the configuration; did you mean `idp`?")
    });
}

#[test]
fn a_secret_is_filled_in_followed_and_never_shown() {
    let origin = Origin::answering("ok");
    let module = wasm::shipped("api-key");
    let gateway = Gateway::to(&origin)
        .file("ann.key", &format!("{SECRET}\n"))
        .filter("api-key", &module, MANIFEST)
        .start();
    assert_eq!((status(&gateway, SECRET), status(&gateway, "other")), (200, 403));
    for page in ["/filters", "/metrics", "/config", "/ready", "/filters/api-key", "/filters/traps"] {
        assert!(!gateway.admin_get(page).text().contains(SECRET), "{page}");
    }
    fs::write(gateway.directory().join("ann.key"), "n3w-s3cr3t").unwrap();
    eventually("the new key", || status(&gateway, "n3w-s3cr3t") == 200);
    assert_eq!(status(&gateway, SECRET), 403);
    // A secret that is gone is no reason to stop; it is one to say so.
    fs::remove_file(gateway.directory().join("ann.key")).unwrap();
    let refusal = gateway.await_refusal("api-key");
    assert!(refusal.contains("secret `ann`") && refusal.contains("cannot be read"), "{refusal}");
    assert_eq!(status(&gateway, "n3w-s3cr3t"), 200);
}
