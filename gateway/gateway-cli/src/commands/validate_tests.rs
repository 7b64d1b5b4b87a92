use super::*;

const GOOD: &str = "listeners: [{name: web, bind: 127.0.0.1:8080}]
routes: [{name: all, respond: {status: 200}}]
filters: {directory: filters}
";

fn project(config: &str, manifests: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.yaml");
    fs::write(&path, config).unwrap();
    fs::create_dir(directory.path().join("filters")).unwrap();
    for (name, text) in manifests {
        fs::write(directory.path().join("filters").join(name), text).unwrap();
    }
    (directory, path)
}

#[test]
fn a_good_configuration_is_summed_up() {
    let (_directory, path) = project(GOOD, &[("a.yaml", "phase: authn\n")]);
    let findings = check(&path);
    assert!(findings.valid(), "{}", findings.reports());
    assert!(
        findings.summary().ends_with("is valid: 1 listener, 1 route, 0 upstreams, 1 filter manifest\n"),
        "{}",
        findings.summary()
    );
}

#[test]
fn hidden_routes_are_warnings_and_no_errors() {
    let (_directory, path) = project(
        "listeners: [{name: web, bind: 127.0.0.1:8080}]
routes:
  - {hosts: [a.test, b.test], match: [{path: {prefix: /x}}, {path: {exact: /y}}], respond: {status: 200}}
  - {hosts: [b.test], match: {path: {prefix: /x}}, respond: {status: 201}}
  - {hosts: [b.test, c.test], match: {path: {exact: /y}}, respond: {status: 202}}
  - {hosts: [d.test], respond: {status: 203}}
  - {hosts: [d.test], match: {path: {regex: /.*}}, respond: {status: 204}}
  - {hosts: [d.test], match: {path: {exact: /z}}, respond: {status: 205}}
",
        &[],
    );
    let findings = check(&path);
    assert!(findings.valid(), "{}", findings.reports());
    let found: Vec<_> = findings.warnings.iter().map(|warning| warning.message.as_str()).collect();
    let file = path.display();
    assert_eq!(
        found,
        [
            format!(
                "routes[1] is never reached: other routes, routes[0] at {file}:3 first, take all of its requests"
            ),
            format!("a part of routes[2] is never reached: routes[0] at {file}:3 takes those requests"),
            format!(
                "routes[3] is never reached: other routes, routes[4] at {file}:7 first, take all of its requests"
            ),
        ]
    );
    assert!(findings.warnings[0].to_string().starts_with("warning: routes[1] "));
    assert_eq!(findings.as_json()["warnings"][0]["severity"], "warning");
}

#[test]
fn upstreams_that_are_not_verified_are_warned_of_beside_errors_too() {
    let config = "listeners: [{name: web, bind: 127.0.0.1:8080}]
routes: [{to: a}]
upstreams:
  a: {endpoints: [127.0.0.1:9], tls: {verify: false}}
";
    let (directory, path) = project(config, &[]);
    let findings = check(&path);
    assert!(findings.valid(), "{}", findings.reports());
    assert!(findings.reports().starts_with("warning: with `verify: false` "), "{}", findings.reports());
    assert_eq!(findings.warnings[0].place.as_ref().map(|place| (place.line, place.column)), Some((4, 47)));
    fs::write(&path, config.replace("verify: false", "verify: false, cert: no.pem, key: no.key")).unwrap();
    let report = check(&path).reports();
    assert!(report.contains("warning: ") && report.contains("error: certificate "), "{report}");
    drop(directory);
}

#[test]
fn a_filter_directory_that_is_not_there_yet_is_no_error() {
    let (directory, path) = project(GOOD, &[]);
    fs::remove_dir(directory.path().join("filters")).unwrap();
    assert!(check(&path).valid());
}

#[test]
fn every_manifest_is_checked_and_hidden_files_are_not() {
    let bad = "phase: nowhere\n";
    let (_directory, path) =
        project(GOOD, &[("a.yaml", bad), ("b.yaml", bad), (".c.yaml", bad), ("d.txt", bad)]);
    let findings = check(&path);
    let report = findings.reports();
    assert!(!findings.valid());
    assert!(report.contains("a.yaml") && report.contains("b.yaml"), "{report}");
    assert!(!report.contains("c.yaml") && !report.contains("d.txt"), "{report}");
}

#[test]
fn unreadable_files_are_errors_too() {
    let (directory, path) = project(GOOD, &[]);
    fs::create_dir(directory.path().join("filters/x.yaml")).unwrap();
    let findings = check(&path);
    assert!(findings.reports().starts_with("error: cannot read "), "{}", findings.reports());
    assert_eq!(findings.as_json()["valid"], json!(false));
    assert_eq!(findings.as_json()["errors"].as_array().unwrap().len(), 1);
}

#[test]
fn pipes_are_refused_without_waiting_for_a_writer() {
    let (directory, path) = project(GOOD, &[]);
    let fifo = |name: &str| {
        let path = directory.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    fifo("filters/pipe.yaml");
    let report = check(&path).reports();
    assert!(report.contains("pipe.yaml`: not a regular file"), "{report}");
    let report = check(&fifo("config.yaml")).reports();
    assert!(report.contains("config.yaml`: not a regular file"), "{report}");
}

#[test]
fn json_lists_each_error_with_its_message() {
    let (_directory, path) = project("listeners: 1\nroutez: []\n", &[]);
    let report = check(&path).as_json();
    let errors = report["errors"].as_array().unwrap();
    assert!(errors.len() >= 2, "{report:#}");
    assert!(errors.iter().all(|error| error["message"].is_string()), "{report:#}");
}

#[test]
fn certificates_that_cannot_be_used_are_reported_with_their_place() {
    let config = "listeners:
  - {name: web, bind: 127.0.0.1:8443, tls: {certificates: [{cert: no.pem, key: no.key}]}}
routes: [{respond: {status: 200}}]
";
    let (_directory, path) = project(config, &[]);
    let findings = check(&path);
    assert!(!findings.valid());
    let text = findings.reports();
    assert!(text.contains("no.pem") && text.contains("gateway.yaml:2:"), "{text}");
    assert_eq!(findings.as_json()["errors"][0]["place"]["line"], 2);
}

#[test]
fn a_module_that_is_none_is_an_error_in_either_form() {
    let (_directory, path) = project(GOOD, &[("a.wasm", "no module")]);
    let findings = check(&path);
    assert!(!findings.valid());
    assert!(
        findings.reports().starts_with("error: a.wasm: not a WebAssembly module"),
        "{}",
        findings.reports()
    );
    let json = findings.as_json();
    assert_eq!(json["valid"], false);
    let message = json["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("a.wasm: ") && json["errors"][0]["severity"] == "error", "{json:#}");
}
