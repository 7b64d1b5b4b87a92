//! Guest modules: built from this workspace once per test process, or written as text.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The filters that come with the gateway.
pub const SHIPPED: [&str; 6] = ["api-key", "deny-list", "jwt-auth", "quota", "rate-limit", "request-stats"];

/// A guest of `tests/guests`, or of the SDK, by the name of its example.
///
/// # Panics
/// If the guests do not build, or there is none of that name.
#[must_use]
pub fn guest(name: &str) -> Vec<u8> {
    read(&built().join("examples").join(format!("{}.wasm", name.replace('-', "_"))))
}

/// The shipped filter `api-key`.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn api_key() -> Vec<u8> {
    shipped("api-key")
}

/// A shipped filter.
///
/// # Panics
/// If it does not build, or there is none of that name.
#[must_use]
pub fn shipped(name: &str) -> Vec<u8> {
    read(&built().join(format!("{}.wasm", name.replace('-', "_"))))
}

/// The filter of the side-by-side bench, built on the plain `proxy-wasm` crate as filters for Envoy are.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn add_header() -> Vec<u8> {
    read(&built().join("add_header.wasm"))
}

/// A module from its text form.
///
/// # Panics
/// If the text is wrong.
#[must_use]
pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A guest as small as it gets: `parts` in the text form, with the marker of ABI 0.2.1, two pages of memory, and an
/// allocator that gives out the second page each time, so that values are not kept. `imports` come before all else.
///
/// # Panics
/// If the text is wrong.
#[must_use]
pub fn small(imports: &str, parts: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
          {imports}
          (memory (export "memory") 2)
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
          {parts})"#
    ))
}

/// The guest that answers with an action which does not exist.
#[must_use]
pub fn garbage() -> Vec<u8> {
    wat(include_str!("../guests/garbage.wat"))
}

/// A module that does the same and has other bytes: it carries one more custom section (Wasm core, 5.5.3).
///
/// # Panics
/// If the note is longer than 100 bytes.
#[must_use]
pub fn annotated(module: &[u8], note: &str) -> Vec<u8> {
    assert!(note.len() <= 100, "sizes are written as one byte");
    let name = b"note";
    // Within 127 by the assertion above.
    let (name_size, size) = (name.len() as u8, (1 + name.len() + note.len()) as u8);
    [module, &[0, size, name_size], name, note.as_bytes()].concat()
}

/// The text of `lines.rs`, a guest that panics at a request with many headers.
pub const LINES: &str = include_str!("../guests/lines.rs");

/// The same as a module with debug information.
///
/// # Panics
/// If it does not compile.
#[must_use]
pub fn with_lines() -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let module = directory.path().join("lines.wasm");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--target", "wasm32-wasip1", "-O", "-C", "debuginfo=1", "lines.rs", "-o"])
        .arg(&module)
        // The toolchain of the workspace is chosen by the folder.
        .current_dir(guests)
        .output()
        .expect("rustc starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read(&module)
}

/// The folder of the guests' artefacts.
///
/// Cargo locks the folder while it builds, so test processes that run at the same time wait for each other, and all but
/// the first find everything fresh. The folder is not the one of the surrounding build, which cargo may hold locked.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = workspace.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
        let target = target.join("guests");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&workspace).arg("build").args([
            "--quiet",
            "--profile",
            "filter",
            "--target",
            "wasm32-wasip1",
        ]);
        let packages = ["test-guests", "add-header", "gateway-sdk"].into_iter().chain(SHIPPED);
        command.args(packages.flat_map(|package| ["-p", package])).args(["--lib", "--examples"]);
        command.arg("--target-dir").arg(&target);
        // Meant for the machine that the tests run on.
        for variable in
            ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER"]
        {
            command.env_remove(variable);
        }
        let output = command.output().expect("cargo starts");
        assert!(
            output.status.success(),
            "the guests do not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        target.join("wasm32-wasip1").join("filter")
    })
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
