//! `gateway filter new`: a crate with a filter that works, its tests, a manifest, and the SDK's source beside it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::commands::Failure;
use crate::embedded::{LOCK_FILE, SDK};
use crate::output;

const CARGO_TOML: &str = include_str!("new/Cargo.toml.txt");
const LIB: &str = include_str!("new/lib.rs.txt");
const MANIFEST: &str = include_str!("new/manifest.yaml.txt");
/// Longest name, as for files in the filter directory.
const MAX_NAME_BYTES: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory to make; its last part is the name of the filter: lower case, digits and `-`
    #[arg(value_name = "NAME")]
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum NewError {
    #[error(
        "`{0}` cannot be the name of a filter\n  = help: begin with a letter, go on with lower-case letters, digits and `-`"
    )]
    Name(String),
    #[error("{} is there already\n  = help: choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let name = name_of(&arguments.path)?;
    create(&arguments.path, &name)?;
    let path = arguments.path.display();
    output::print(&format!(
        "{path} is a filter that works:

    cd {path}
    gateway filter test .                       # natively, then as a module
    gateway dev .                               # tries every change on real requests
    gateway filter build . --out DIR            # a module for a filter directory
"
    ))?;
    Ok(())
}

fn name_of(path: &Path) -> Result<String, NewError> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let is_legal = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.len() <= MAX_NAME_BYTES
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    // Names that a crate of the project has already, or that Rust keeps for itself.
    let is_taken =
        ["gateway-sdk", "gateway-sdk-macros", "serde", "test", "core", "std", "alloc"].contains(&&*name);
    if is_legal && !is_taken { Ok(name) } else { Err(NewError::Name(name)) }
}

/// Nothing is overwritten: the directory must be new.
fn create(directory: &Path, name: &str) -> Result<(), NewError> {
    let cannot = |path: &Path| {
        let path = path.to_owned();
        move |source| NewError::Write { path, source }
    };
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).map_err(cannot(parent))?;
    }
    fs::create_dir(directory).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => NewError::Exists(directory.to_owned()),
        _ => NewError::Write { path: directory.to_owned(), source },
    })?;
    let filled = |template: &str| template.replace("NAME", name).replace("TYPE", &type_name(name));
    let own = [
        ("Cargo.toml".to_owned(), filled(CARGO_TOML)),
        ("Cargo.lock".to_owned(), LOCK_FILE.to_owned()),
        ("src/lib.rs".to_owned(), filled(LIB)),
        (format!("{name}.yaml"), filled(MANIFEST)),
        (".gitignore".to_owned(), "/target\n".to_owned()),
    ];
    let sdk = SDK.iter().map(|(path, text)| (format!("gateway-sdk/{path}"), (*text).to_owned()));
    for (path, text) in own.into_iter().chain(sdk) {
        let path = directory.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(cannot(folder))?;
        }
        fs::write(&path, text).map_err(cannot(&path))?;
    }
    Ok(())
}

/// `my-filter` is `MyFilter`.
fn type_name(name: &str) -> String {
    let upper = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    name.split('-').map(upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates_and_files() {
        for good in ["plan", "my-filter", "a1-b2"] {
            assert_eq!(name_of(&Path::new("/tmp").join(good)).unwrap(), good);
        }
        for bad in ["", "Plan", "1a", "-a", "a-", "a--b", "a b", "ä", "serde", "gateway-sdk", &"a".repeat(65)]
        {
            assert!(name_of(Path::new(bad)).is_err(), "{bad}");
        }
        assert_eq!(type_name("my-filter2"), "MyFilter2");
    }

    #[test]
    fn a_directory_that_is_there_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("kept"), "mine").unwrap();
        assert!(matches!(create(scratch.path(), "a"), Err(NewError::Exists(_))));
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_sdk_needs_no_workspace() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("deep/plan");
        create(&directory, "plan").unwrap();
        for manifest in ["gateway-sdk/Cargo.toml", "gateway-sdk/macros/Cargo.toml"] {
            let text = fs::read_to_string(directory.join(manifest)).unwrap();
            assert!(!text.contains("workspace"), "{text}");
            assert!(text.contains("edition = "), "{text}");
        }
        let lib = fs::read_to_string(directory.join("src/lib.rs")).unwrap();
        assert!(lib.contains("impl Filter for Plan") && !lib.contains("NAME") && !lib.contains("TYPE"));
    }
}
