//! The shipped filters from the installed command alone: an example of the manifest, then the filter, as the pages say.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic like the test itself")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const FILTERS: [&str; 6] = ["api-key", "deny-list", "jwt-auth", "quota", "rate-limit", "request-stats"];

fn gateway(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.env_remove("RUST_LOG").current_dir(directory).args(arguments).output().unwrap()
}

fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = gateway(directory, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_is_put_beside_its_manifest_and_taken() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    fs::create_dir(directory.join("filters")).unwrap();
    fs::write(
        directory.join("gateway.yaml"),
        "listeners: [{name: web, bind: 127.0.0.1:0}]\nroutes: [{name: all, to: idp}]\nupstreams: {idp: 127.0.0.1:9}\n\
         filters: {directory: filters}\n",
    )
    .unwrap();
    let listed = printed(directory, &["filter", "add"]);
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, FILTERS, "{listed}");
    for name in FILTERS {
        let refused = gateway(directory, &["filter", "add", name]);
        assert_eq!(refused.status.code(), Some(1), "{name} has no manifest yet");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(
            told.contains(&format!("gateway filter add {name} --example > filters/{name}.yaml")),
            "{told}"
        );

        let example = printed(directory, &["filter", "add", name, "--example"]);
        fs::write(directory.join("filters").join(format!("{name}.yaml")), example).unwrap();
        assert_eq!(printed(directory, &["filter", "add", name]), format!("filters/{name}.wasm\n"));
        let inspected = printed(directory, &["filter", "inspect", &format!("filters/{name}.wasm")]);
        assert!(inspected.contains(&format!("filter       {name} ")), "{inspected}");
    }
    printed(directory, &["validate"]);
    let unknown = String::from_utf8(gateway(directory, &["filter", "add", "qouta"]).stderr).unwrap();
    assert!(unknown.contains("did you mean `quota`?"), "{unknown}");
}
