use super::*;

const EVERYTHING: &str = r#"
    (import "env" "proxy_grpc_call" (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_stream" (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_send" (func (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_cancel" (func (param i32) (result i32)))
    (import "env" "proxy_grpc_close" (func (param i32) (result i32)))"#;
const HTTP_CALL: &str = r#"
    (import "env" "proxy_http_call" (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;

fn module(imports: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module {imports} (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
          (func (export "malloc") (param i32) (result i32) (i32.const 0))
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#
    ))
    .unwrap()
}

fn doubts_of(imports: &str, manifest: &str) -> Vec<String> {
    let manifest = gateway_config::parse_manifest(manifest, "f.yaml").unwrap();
    doubts(&Module::inspect(&module(imports)).unwrap(), &manifest)
}

#[test]
fn a_module_that_calls_out_and_may_not_is_doubted_unless_it_imports_everything() {
    let found = doubts_of(HTTP_CALL, "{}");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("proxy_http_call") && found[0].contains("callouts: [UPSTREAM]"), "{found:?}");
    assert!(doubts_of(HTTP_CALL, "capabilities: {callouts: [a]}").is_empty());
    assert!(doubts_of(&format!("{HTTP_CALL} {EVERYTHING}"), "{}").is_empty());
    let grpc = EVERYTHING.lines().nth(1).unwrap();
    assert!(doubts_of(grpc, "{}")[0].contains("proxy_grpc_call, which this gateway does not support"));
}

#[test]
fn capabilities_that_a_module_cannot_use_are_doubted() {
    for (manifest, word) in [
        ("capabilities: {callouts: [a]}", "callouts"),
        ("capabilities: {sharedWith: [a]}", "sharedWith"),
        ("bodyWhilePaused: true", "bodyWhilePaused"),
    ] {
        let found = doubts_of("", manifest);
        assert!(found.len() == 1 && found[0].contains(word), "{found:?}");
    }
    assert!(doubts_of("", "{}").is_empty());
}

#[test]
fn a_directory_is_told_file_by_file() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    write("a.wasm", b"\0asm");
    write("b.wasm", &module(r#"(import "env" "proxy_nothing" (func))"#));
    write("c.wasm", &module(HTTP_CALL));
    write("d.wasm", &module(HTTP_CALL));
    write("d.yaml", b"{capabilities: {callouts: [nobody]}, match: {routes: [none]}}");
    write("e.wasm", &module(""));
    write(".hidden.wasm", b"x");
    let text = format!(
        "{{listeners: [{{bind: '127.0.0.1:0'}}], routes: [{{name: all, respond: {{status: 204}}}}], filters: {{directory: '{}'}}}}",
        directory.path().display()
    );
    let config = gateway_config::parse_text(&text, "gateway.yaml", Path::new("")).unwrap();
    let found = check_filters(&config);
    let told: Vec<_> = found.iter().map(|one| (one.severity, &one.message[..6])).collect();
    let (error, warning) = (Severity::Error, Severity::Warning);
    assert_eq!(
        told,
        [(error, "a.wasm"), (error, "b.wasm"), (warning, "c.wasm"), (error, "d.yaml"), (error, "d.yaml")],
        "{found:#?}"
    );
    assert!(found[1].message.contains("env.proxy_nothing"), "{found:#?}");
    assert!(found[3].message.contains("route `none`"), "{found:#?}");
    assert!(found[4].message.contains("upstream `nobody`"), "{found:#?}");
}
