//! How large modules are stays as `docs/filters/costs.md` says: at most 5 % more. `BLESS=1` writes the table anew, for which
//! the modules are built once more with the names of their functions.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gateway_tests::wasm;
use proxy_wasm_host::Composition;

const PAGE: &str = "docs/filters/costs.md";
const BEGIN: &str =
    "<!-- sizes: begin; made by `BLESS=1 cargo test -p gateway-sdk-testing --test sizes` -->\n";
const END: &str = "<!-- sizes: end -->\n";
/// Modules of the SDK's examples.
const EXAMPLES: [&str; 2] = ["hello", "enrich"];
/// A module may become so much larger before the page has to say it.
const GROWTH: f64 = 1.05;
/// Of the smallest filter.
const HELLO_BYTES: usize = 130_000;
/// Crates that are named.
const CRATES: usize = 4;

/// Bytes of a module: the whole file, its code, its data.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Sizes {
    file: usize,
    code: usize,
    data: usize,
}

impl Sizes {
    fn of(wasm: &[u8]) -> Self {
        let composition = Composition::of(wasm).expect("a module");
        let section = |name: &str| {
            composition.sections.iter().filter(|(section, _)| section == name).map(|(_, size)| size).sum()
        };
        Self { file: wasm.len(), code: section("code"), data: section("data") }
    }

    fn columns(self) -> [usize; 3] {
        [self.file, self.code, self.data]
    }
}

fn modules() -> Vec<(&'static str, Vec<u8>)> {
    let examples = EXAMPLES.iter().map(|name| (*name, wasm::guest(name)));
    examples.chain(wasm::SHIPPED.iter().map(|name| (*name, wasm::shipped(name)))).collect()
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE)
}

/// The table of the page: name, file, code and data in KB of 1000 bytes.
fn told(page: &str) -> Vec<(String, [f64; 3])> {
    let table = page.split(BEGIN).nth(1).and_then(|rest| rest.split(END).next()).expect("a table");
    let row = |line: &str| {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let name = cells.next()?.trim_matches('`').to_owned();
        let mut number = || cells.next()?.parse().ok();
        Some((name, [number()?, number()?, number()?]))
    };
    table.lines().filter_map(row).collect()
}

#[test]
fn modules_are_as_large_as_the_page_says() {
    let modules = modules();
    if std::env::var_os("BLESS").is_some() {
        bless(&modules);
    }
    let page = fs::read_to_string(page()).expect("the page");
    let told = told(&page);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, modules.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "rows of {PAGE}");
    for ((name, wasm), (_, told)) in modules.iter().zip(&told) {
        for ((what, now), told) in ["file", "code", "data"].iter().zip(Sizes::of(wasm).columns()).zip(told) {
            let now = now as f64 / 1_000.0;
            // A tenth of a KB for what the table rounds away.
            assert!(
                now <= told * GROWTH + 0.1,
                "{name}: {what} has {now:.1} KB, and {PAGE} says {told}; make it smaller, or say so with BLESS=1"
            );
        }
    }
    let hello = modules.iter().find(|(name, _)| *name == "hello").map(|(_, wasm)| wasm.len());
    assert!(hello.is_some_and(|bytes| bytes < HELLO_BYTES), "hello has {hello:?} bytes");
}

fn bless(modules: &[(&str, Vec<u8>)]) {
    let named = named();
    let kb = |bytes: usize| format!("{:.1}", bytes as f64 / 1_000.0);
    let mut table =
        "| module | file | code | data | crates with the most code |\n|---|---|---|---|---|\n".to_owned();
    for (name, wasm) in modules {
        let file = format!("{}.wasm", name.replace('-', "_"));
        let path = if EXAMPLES.contains(name) { named.join("examples").join(file) } else { named.join(file) };
        let wasm_with_names = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let crates = Composition::of(&wasm_with_names).expect("a module").crates;
        let largest: Vec<String> =
            crates.iter().take(CRATES).map(|(name, bytes)| format!("{name} {}", kb(*bytes))).collect();
        let [file, code, data] = Sizes::of(wasm).columns().map(kb);
        writeln!(table, "| `{name}` | {file} | {code} | {data} | {} |", largest.join(", ")).expect("room");
    }
    let text = fs::read_to_string(page()).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    fs::write(page(), format!("{before}{BEGIN}{table}{END}{after}")).expect("a writable page");
}

/// The folder of the same modules with the names of their functions.
fn named() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = workspace.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let target = target.join("guests-named");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&workspace).args([
        "build",
        "--quiet",
        "--profile",
        "filter",
        "--target",
        "wasm32-wasip1",
    ]);
    command.args(["--config", "profile.filter.strip=\"debuginfo\"", "--lib"]);
    command.args(EXAMPLES.iter().flat_map(|example| ["--example", example])).args(["-p", "gateway-sdk"]);
    command.args(wasm::SHIPPED.iter().flat_map(|package| ["-p", package])).arg("--target-dir").arg(&target);
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER"]
    {
        command.env_remove(variable);
    }
    assert!(command.status().expect("cargo starts").success(), "the modules do not build");
    target.join("wasm32-wasip1").join("filter")
}
