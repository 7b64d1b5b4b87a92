//! `gateway init`: a configuration to start from. Writes new files only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::output;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory to write to; made when it is not there
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{} there already; nothing was written\n  = help: choose another directory, or move it away", list(.0))]
    Exists(Vec<PathBuf>),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let written = write_all(&arguments.directory)?;
    let mut text: String = written.iter().map(|path| format!("wrote {}\n", path.display())).collect();
    let config = arguments.directory.join("gateway.yaml");
    text += &format!("next: gateway run -c {}\n", config.display());
    Ok(output::print(&text)?)
}

fn files() -> [(&'static str, String); 4] {
    [
        ("gateway.yaml", include_str!("init/gateway.yaml").to_owned()),
        ("gateway.schema.json", format!("{:#}\n", gateway_config::json_schema())),
        ("filter.schema.json", format!("{:#}\n", gateway_config::manifest_json_schema())),
        ("filters/README.md", include_str!("init/filters-README.md").to_owned()),
    ]
}

/// Looks for every file before writing the first, so that a refusal leaves the directory as it was.
fn write_all(directory: &Path) -> Result<Vec<PathBuf>, InitError> {
    let files = files().map(|(name, content)| (directory.join(name), content));
    let existing: Vec<PathBuf> = files
        .iter()
        .filter(|(path, _)| path.symlink_metadata().is_ok())
        .map(|(path, _)| path.clone())
        .collect();
    if !existing.is_empty() {
        return Err(InitError::Exists(existing));
    }
    for (path, content) in &files {
        write_new(path, content).map_err(|source| InitError::Write { path: path.clone(), source })?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_bytes())
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_configuration_is_valid_and_names_its_schema() {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path()).unwrap();
        let path = directory.path().join("gateway.yaml");
        let config = gateway_config::load(&path).unwrap();
        assert_eq!(config.filters.directory, Some(directory.path().join("filters")));
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=gateway.schema.json\n"), "{text}");
        assert!(directory.path().join("gateway.schema.json").is_file());
    }

    #[test]
    fn a_path_that_cannot_be_written_is_printed_plainly() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write_all(&file.join("site")).unwrap_err().to_string();
        let expected = format!("cannot write {}: ", file.join("site/gateway.yaml").display());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn an_existing_file_is_kept_and_nothing_else_is_written() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("gateway.yaml"), "mine").unwrap();
        let error = write_all(directory.path()).unwrap_err().to_string();
        assert!(error.contains("gateway.yaml is there already"), "{error}");
        assert_eq!(fs::read_to_string(directory.path().join("gateway.yaml")).unwrap(), "mine");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
