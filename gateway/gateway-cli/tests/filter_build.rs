//! `gateway filter build` on crates outside of this workspace, with a real compiler.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The least that a host accepts: the ABI marker, an allocator, one callback. No dependencies, so nothing is fetched.
const FILTER: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(_size: usize) -> *mut u8 {
    std::ptr::null_mut()
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(_id: u32, _parent: u32) {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_id: u32, _headers: u32, _end_of_stream: u32) -> u32 {
    0
}
"#;

fn project(manifest: &str, source: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a scratch directory");
    fs::create_dir(directory.path().join("src")).expect("a source directory");
    fs::write(directory.path().join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(directory.path().join("src/lib.rs"), source).expect("a source file");
    directory
}

fn build(project: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["filter", "build", ".", "--out", "filters"])
        .current_dir(project)
        .env("CARGO_TARGET_DIR", project.join("target"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("the gateway command")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn builds_describes_and_installs_a_module() {
    let manifest = "[package]\nname = \"my-filter\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n";
    let project = project(manifest, FILTER);
    let output = build(project.path());
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    for expected in
        ["my_filter.wasm\n", "size         ", "ABI          0.2.1\n", "imports      ", "unsupported  none\n"]
    {
        assert!(shown.contains(expected), "{expected:?} is missing in {shown}");
    }
    let module = fs::read(project.path().join("filters/my-filter.wasm")).expect("the installed module");
    assert!(module.starts_with(b"\0asm"));
    assert_eq!(fs::read_dir(project.path().join("filters")).expect("filters").count(), 1);
}

#[test]
fn a_crate_that_makes_no_module_is_told_how_to() {
    let project = project("[package]\nname = \"plain\"\nedition = \"2024\"\n", "");
    let output = build(project.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("crate-type = [\"cdylib\"]"), "{}", text(&output.stderr));
    assert!(!project.path().join("filters").exists());
}

#[test]
fn a_module_that_is_no_filter_is_refused() {
    let manifest = "[package]\nname = \"no-filter\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n";
    let project = project(manifest, "");
    let output = build(project.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no gateway would load it"), "{}", text(&output.stderr));
    assert!(!project.path().join("filters").exists());
}

#[test]
fn a_compiler_error_is_shown_and_fails() {
    let project =
        project("[package]\nname = \"wrong\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n", "fn");
    let output = build(project.path());
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    assert!(shown.contains("src/lib.rs:1:") && shown.contains("cargo build failed"), "{shown}");
}

/// A toolchain made of shell scripts, without the WebAssembly target.
fn fake_toolchain(rustup: Option<&str>) -> TempDir {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut scripts = vec![("rustc", format!("echo {}/sysroot", directory.path().display()))];
    scripts.extend(rustup.map(|script| ("rustup", script.to_owned())));
    for (name, script) in scripts {
        let path = directory.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable script");
    }
    directory
}

#[test]
fn a_missing_target_is_added_or_the_way_to_add_it_is_shown() {
    for (rustup, expected) in [
        (None, "install Rust with rustup and run `rustup target add wasm32-wasip1`"),
        (Some("echo offline >&2; exit 1"), "adding it failed: offline"),
        (Some("exit 0"), "adding it failed"),
    ] {
        let project = project("[package]\nname = \"unbuilt\"\n", "");
        let toolchain = fake_toolchain(rustup);
        let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["filter", "build", "."])
            .current_dir(project.path())
            .env_remove("RUSTC")
            .env("PATH", toolchain.path())
            .output()
            .expect("the gateway command");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(expected), "{rustup:?}: {}", text(&output.stderr));
    }
}
