use super::*;
use crate::testing::{BUMP_ALLOCATOR, engine, guest, module_text, on_request_headers, wasm};

fn refusal(text: &str) -> LoadError {
    Module::compile(engine(), &wasm(text)).err().expect("the module must be refused")
}

/// A module without imports.
fn bare(parts: &str) -> String {
    format!(r#"(module (memory (export "memory") 1) {parts})"#)
}

const MARKER: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
const CALLBACK: &str = r#"(func (export "proxy_on_log") (param i32))"#;

#[test]
fn modules_and_engines_are_shared_by_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Module>();
    is_shared::<Engine>();
}

#[test]
fn all_three_markers_load_and_the_newest_counts() {
    for (marker, version) in [
        ("proxy_abi_version_0_1_0", AbiVersion::V0_1_0),
        ("proxy_abi_version_0_2_0", AbiVersion::V0_2_0),
        ("proxy_abi_version_0_2_1", AbiVersion::V0_2_1),
    ] {
        let text = module_text(marker, &format!("{BUMP_ALLOCATOR} {CALLBACK}"));
        let module = Module::compile(engine(), &wasm(&text)).unwrap();
        assert_eq!(module.info().abi, version);
    }
    let both =
        bare(&format!(r#"{MARKER} (func (export "proxy_abi_version_0_1_0")) {BUMP_ALLOCATOR} {CALLBACK}"#));
    assert_eq!(Module::inspect(&wasm(&both)).unwrap().abi, AbiVersion::V0_2_1);
}

#[test]
fn the_info_names_imports_exports_and_what_is_unsupported() {
    let bytes = wasm(&guest(&on_request_headers("")));
    let info = Module::inspect(&bytes).unwrap();
    assert_eq!(info.size_bytes, bytes.len());
    assert!(info.imports.contains(&("env".to_owned(), "proxy_http_call".to_owned())));
    assert!(info.exports.contains(&"proxy_on_request_headers".to_owned()));
    let mut unsupported = info.unsupported.clone();
    unsupported.sort();
    let mut expected = hostcalls::UNSUPPORTED.to_vec();
    expected.sort_unstable();
    assert_eq!(unsupported, expected);
    assert_eq!(Module::compile(engine(), &bytes).unwrap().info(), &info);
}

#[test]
fn lists_of_names_are_bounded() {
    let exports: String = (0..=crate::limits::LISTED_NAMES)
        .map(|number| format!(r#"(export "e{number}" (memory 0))"#))
        .collect();
    let count = crate::limits::LISTED_NAMES + 2;
    assert!(
        matches!(refusal(&bare(&exports)), LoadError::TooMany { what: "exports", count: found, .. } if found == count)
    );
    let import = r#"(import "env" "proxy_done" (func (result i32)))"#;
    let imports = format!("(module {})", import.repeat(crate::limits::LISTED_NAMES + 1));
    assert!(matches!(refusal(&imports), LoadError::TooMany { what: "imports", .. }));
}

#[test]
fn missing_and_foreign_markers_are_told_apart() {
    assert_eq!(refusal(&bare(&format!("{BUMP_ALLOCATOR} {CALLBACK}"))), LoadError::NoMarker);
    let mosn =
        bare(&format!(r#"(func (export "proxy_abi_mosn_version_0_2_0")) {BUMP_ALLOCATOR} {CALLBACK}"#));
    assert_eq!(
        refusal(&mosn),
        LoadError::UnknownMarker { marker: "proxy_abi_mosn_version_0_2_0".to_owned() }
    );
}

#[test]
fn what_every_filter_needs_is_checked() {
    assert_eq!(refusal(&bare(&format!("{MARKER} {CALLBACK}"))), LoadError::NoAllocator);
    assert_eq!(refusal(&bare(&format!("{MARKER} {BUMP_ALLOCATOR}"))), LoadError::NotHttpFilter);
    assert_eq!(refusal(&format!("(module {MARKER} {BUMP_ALLOCATOR} {CALLBACK})")), LoadError::NoMemory);
}

#[test]
fn foreign_imports_are_refused_by_name_with_a_cause() {
    for (module, name, cause) in [
        ("env", "proxy_http_call_v9", "newer ABI"),
        ("env", "envoy_resolve_dns", "Envoy only"),
        ("env", "strtold", "not linked in"),
        ("wbg", "__wbindgen_throw", "JavaScript"),
        ("wasi:io/streams@0.2.0", "read", "component"),
        ("wasi_snapshot_preview1", "path_fly", "no such function"),
        ("other", "thing", "only the modules"),
    ] {
        let text = format!(
            r#"(module (import "{module}" "{name}" (func)) (memory (export "memory") 1) {MARKER} {BUMP_ALLOCATOR} {CALLBACK})"#
        );
        let error = refusal(&text);
        let message = error.to_string();
        assert!(matches!(error, LoadError::UnknownImport { .. }), "{message}");
        assert!(message.contains(&format!("{module}.{name}")) && message.contains(cause), "{message}");
    }
}

#[test]
fn imported_memories_and_wrong_signatures_are_refused() {
    let error = refusal(&format!(
        r#"(module (import "env" "memory" (memory 1)) {MARKER} {BUMP_ALLOCATOR} {CALLBACK})"#
    ));
    assert!(matches!(error, LoadError::ImportKind { kind: "memory", .. }), "{error}");
    let error = refusal(&format!(
        r#"(module (import "env" "proxy_log" (func (param i64))) (memory (export "memory") 1) {MARKER} {BUMP_ALLOCATOR} {CALLBACK})"#
    ));
    assert!(
        matches!(&error, LoadError::ImportSignature { reason } if reason.contains("proxy_log")),
        "{error}"
    );
    let error = refusal(&bare(&format!(
        r#"{MARKER} {BUMP_ALLOCATOR} (func (export "proxy_on_request_headers") (param i32) (result i32) (i32.const 0))"#
    )));
    assert_eq!(
        error,
        LoadError::CallbackSignature {
            name: "proxy_on_request_headers".to_owned(),
            found: "(i32) -> i32".to_owned(),
            expected: "(i32, i32) -> i32 or (i32, i32, i32) -> i32".to_owned(),
        }
    );
}

#[test]
fn the_same_function_may_be_imported_twice_and_from_the_old_wasi() {
    let import = r#"(import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
    let text = format!(
        r#"(module {import} {import} (memory (export "memory") 1) {MARKER} {BUMP_ALLOCATOR} {CALLBACK})"#
    );
    assert!(Module::compile(engine(), &wasm(&text)).is_ok());
}

#[test]
fn files_that_are_no_modules_are_recognised() {
    let refuse = |bytes: &[u8]| Module::compile(engine(), bytes).err().expect("must be refused").to_string();
    assert!(refuse(b"").contains("empty"));
    assert!(refuse(b"(module)").contains("wat2wasm"));
    assert!(refuse(b"<!doctype html>").contains("web page"));
    assert!(refuse(b"hello, world\n").contains("looks like text"));
    assert!(refuse(b"\x7FELF\x02\x01").contains("native program"));
    assert!(refuse(b"\x00asm\x0d\x00\x01\x00").contains("component"));
    assert!(refuse(b"\x00asm\x09\x00\x00\x00").contains("unknown version"));
    assert!(refuse(b"\xFF\xFE\x00").contains("magic"));
}

#[test]
fn a_module_cut_at_any_byte_is_refused_without_panic() {
    let whole = wasm(&guest(&on_request_headers("")));
    for cut in 1..whole.len() {
        let error = Module::inspect(&whole[..cut]);
        // Behind the export section the cheap reading is satisfied by a section boundary, the compiler only where
        // nothing but a custom section (id 0, here the names) is missing.
        if error.is_ok() && whole[cut] != 0 {
            assert!(Module::compile(engine(), &whole[..cut]).is_err(), "cut at {cut}");
        }
    }
    let error = Module::compile(engine(), &whole[..whole.len() / 2]).err().unwrap();
    assert!(matches!(&error, LoadError::Malformed { reason } if reason.contains("ends inside")), "{error}");
}

#[test]
fn features_that_are_off_do_not_compile() {
    for parts in [r#"(memory $second 1)"#, r#"(func $loop (return_call $loop))"#, r#"(memory $wide i64 1)"#] {
        let error = refusal(&bare(&format!("{MARKER} {BUMP_ALLOCATOR} {CALLBACK} {parts}")));
        assert!(matches!(error, LoadError::Compile { .. }), "{parts}: {error}");
    }
}
