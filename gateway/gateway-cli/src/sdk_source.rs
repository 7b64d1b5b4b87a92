//! The SDK's source as a crate that stands alone. Runs in this crate's build script: in the source tree the SDK takes
//! versions and dependencies from the workspace, which an author's project does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is embedded, below `sdk/`.
const PARTS: [&str; 2] = ["src", "macros/src"];
/// The crates, by the folder of their manifest below `sdk/`.
const CRATES: [&str; 2] = ["", "macros"];

/// Every file by its path in the crate, and its text.
pub(crate) fn files(workspace: &Path) -> io::Result<BTreeMap<String, String>> {
    let sdk = workspace.join("sdk");
    let root = fs::read_to_string(workspace.join("Cargo.toml"))?;
    let mut files = BTreeMap::new();
    for part in PARTS {
        collect(&sdk, &sdk.join(part), &mut files)?;
    }
    for folder in CRATES {
        let manifest = fs::read_to_string(sdk.join(folder).join("Cargo.toml"))?;
        let path = Path::new(folder).join("Cargo.toml");
        files.insert(path.display().to_string(), alone(&manifest, &root));
    }
    Ok(files)
}

/// As the Rust source of a list of pairs.
pub(crate) fn as_rust(files: &BTreeMap<String, String>) -> String {
    let mut source = "&[\n".to_owned();
    for (path, text) in files {
        // Writing to a string cannot fail.
        let _ = writeln!(source, "    ({path:?}, {text:?}),");
    }
    source + "]\n"
}

/// Tests stay behind: they read files of the source tree.
fn collect(base: &Path, directory: &Path, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(base, &path, files)?;
        } else if name.ends_with(".rs") && !name.ends_with("_tests.rs") {
            let relative = path.strip_prefix(base).unwrap_or(&path).display().to_string();
            files.insert(relative, without_tests(&fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// Without the declarations of the test modules that stay behind, which are at the end of a file.
fn without_tests(source: &str) -> String {
    source
        .find("\n#[cfg(test)]\n#[path = ")
        .map_or_else(|| source.to_owned(), |end| source[..=end].to_owned())
}

/// A manifest without what it has from the workspace, examples and tests.
fn alone(manifest: &str, root: &str) -> String {
    let mut text = String::new();
    let mut section = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
        }
        if section == "[lints]" || section == "[[example]]" || section == "[dev-dependencies]" {
            continue;
        }
        let shared = line.split_once(".workspace = true").map(|(name, _)| name.trim());
        let table = if section == "[package]" { "[workspace.package]" } else { "[workspace.dependencies]" };
        match shared.and_then(|name| entry(root, table, name)) {
            Some(shared) => text += shared,
            None => text += &with_more(root, line).unwrap_or_else(|| line.to_owned()),
        }
        text.push('\n');
    }
    text
}

/// A dependency that says more than the workspace does of it, such as that it is optional: what both say.
fn with_more(root: &str, line: &str) -> Option<String> {
    let (name, more) = line.split_once(" = { workspace = true")?;
    let (_, shared) = entry(root, "[workspace.dependencies]", name)?.split_once(" = ")?;
    let shared = match shared.strip_prefix("{ ") {
        Some(table) => table.strip_suffix(" }")?.to_owned(),
        None => format!("version = {shared}"),
    };
    Some(format!("{name} = {{ {shared}{more}"))
}

fn entry<'a>(root: &'a str, table: &str, name: &str) -> Option<&'a str> {
    let start = root.find(&format!("{table}\n"))?;
    let lines = root[start..].lines().skip(1).take_while(|line| !line.starts_with('['));
    lines.into_iter().find(|line| line.split_once('=').is_some_and(|(key, _)| key.trim() == name))
}
