use std::path::Path;

use super::*;
use crate::control::directory::Signature;

fn config() -> Config {
    let text = "
listeners: [{name: web, bind: '127.0.0.1:0'}]
routes: [{name: reviews, to: ratings}]
upstreams: {ratings: '127.0.0.1:9'}
";
    gateway_config::parse_text(text, "gateway.yaml", Path::new("")).unwrap()
}

fn errors(manifest: &str) -> Vec<String> {
    let manifest = gateway_config::parse_manifest(manifest, "f.yaml").unwrap();
    let outcome = check_manifest("f", &manifest, &[0xab; 32], &config());
    outcome.err().map_or(Vec::new(), |reason| reason.message.lines().map(str::to_owned).collect())
}

#[test]
fn everything_that_a_manifest_names_in_vain_is_listed_with_what_was_meant() {
    let sha256 = "0".repeat(64);
    let found = errors(&format!(
        "match: {{listeners: [wbe], routes: [reviews, nonsense]}}\ncapabilities: {{callouts: [rating]}}\nsha256: {sha256}"
    ));
    assert_eq!(found.len(), 5, "{found:#?}");
    assert_eq!(found[0], "4 errors in f.yaml");
    assert_eq!(found[1], "f.yaml: listener `wbe` is not in the configuration; did you mean `web`?");
    assert_eq!(found[2], "f.yaml: route `nonsense` is not in the configuration; there are: `reviews`");
    assert_eq!(found[3], "f.yaml: upstream `rating` is not in the configuration; did you mean `ratings`?");
    assert!(
        found[4].starts_with(&format!("f.yaml: the SHA-256 of f.wasm is {}", "ab".repeat(32))),
        "{found:#?}"
    );
    assert!(found[4].contains(&sha256), "{found:#?}");
}

#[test]
fn a_manifest_that_names_what_is_there_passes_and_one_error_is_one_line() {
    let good = format!("match: {{listeners: [web], routes: [reviews]}}\nsha256: {}", "ab".repeat(32));
    assert_eq!(errors(&good), Vec::<String>::new());
    assert_eq!(errors("match: {routes: [nonsense]}").len(), 1);
}

#[test]
fn a_manifest_with_errors_is_reported_line_by_line() {
    let file = FileState {
        wasm: Arc::from(&b""[..]),
        wasm_sha256: [0; 32],
        manifest: Some("prority: 5\nphase: nope".into()),
        signature: Signature { len: 0, mtime_ns: 0, ctime_ns: 0, inode: 0, device: 0 },
        manifest_signature: None,
    };
    let reason = manifest("f", &file).unwrap_err();
    assert_eq!(reason.gate, Gate::Manifest);
    let lines: Vec<_> = reason.message.lines().collect();
    assert_eq!(lines.len(), 3, "{reason}");
    assert_eq!(lines[0], "2 errors in f.yaml");
    assert!(lines[1].starts_with("f.yaml:1:1 unknown field `prority`"), "{reason}");
    assert!(lines[2].starts_with("f.yaml:2:8 "), "{reason}");
}
