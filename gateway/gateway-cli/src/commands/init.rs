//! `gateway init`: a configuration to start from. Writes new files only.

mod localhost;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Failure;
use crate::output;
use localhost::IssueError;

/// Mode of files that hold keys.
const SECRET_MODE: u32 = 0o600;
const AUTHORITY: &str = "tls/ca.pem";
/// The listener in the template, after which the one with TLS goes.
const PLAIN_ONLY: &str =
    "    bind: 127.0.0.1:8080            # 0.0.0.0:8080 to be reachable from other machines\n";
const TLS_LISTENER: &str = "  - name: secure
    bind: 127.0.0.1:8443
    tls:                            # replace the files by those of a real certificate: they are watched
      certificates: [{cert: tls/localhost.pem, key: tls/localhost.key}]
";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory to write to; made when it is not there
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,

    /// Also write a certificate for localhost and the authority that issued it, and serve TLS with them
    #[arg(long)]
    tls: bool,
}

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{} there already; nothing was written\n  = help: choose another directory, or move it away", list(.0))]
    Exists(Vec<PathBuf>),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Certificates(#[from] IssueError),
}

/// A file to write.
struct NewFile {
    name: &'static str,
    content: String,
    /// Only for the eyes of its owner.
    is_secret: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let written = write_all(&arguments.directory, arguments.tls)?;
    let mut text: String = written.iter().map(|path| format!("wrote {}\n", path.display())).collect();
    let config = arguments.directory.join("gateway.yaml");
    text += &format!("next: gateway run -c {}\n", config.display());
    if arguments.tls {
        let authority = arguments.directory.join(AUTHORITY);
        text += &format!("then: curl --cacert {} https://localhost:8443/hello\n", authority.display());
    }
    Ok(output::print(&text)?)
}

fn files(tls: bool) -> Result<Vec<NewFile>, IssueError> {
    let public = |name, content| NewFile { name, content, is_secret: false };
    let secret = |name, content| NewFile { name, content, is_secret: true };
    let mut config = include_str!("init/gateway.yaml").to_owned();
    if tls {
        config = config.replace(PLAIN_ONLY, &format!("{PLAIN_ONLY}{TLS_LISTENER}"));
    }
    let mut files = vec![
        public("gateway.yaml", config),
        public("gateway.schema.json", format!("{:#}\n", gateway_config::json_schema())),
        public("filter.schema.json", format!("{:#}\n", gateway_config::manifest_json_schema())),
        public("filters/README.md", include_str!("init/filters-README.md").to_owned()),
    ];
    if tls {
        let issued = localhost::issue(SystemTime::now())?;
        files.push(public(AUTHORITY, issued.authority.cert));
        files.push(secret("tls/ca.key", issued.authority.key));
        files.push(public("tls/localhost.pem", issued.localhost.cert));
        files.push(secret("tls/localhost.key", issued.localhost.key));
    }
    Ok(files)
}

/// Looks for every file before writing the first, so that a refusal leaves the directory as it was.
fn write_all(directory: &Path, tls: bool) -> Result<Vec<PathBuf>, InitError> {
    let files = files(tls)?;
    let paths: Vec<PathBuf> = files.iter().map(|file| directory.join(file.name)).collect();
    let existing: Vec<PathBuf> =
        paths.iter().filter(|path| path.symlink_metadata().is_ok()).cloned().collect();
    if !existing.is_empty() {
        return Err(InitError::Exists(existing));
    }
    for (path, file) in paths.iter().zip(&files) {
        write_new(path, file).map_err(|source| InitError::Write { path: path.clone(), source })?;
    }
    Ok(paths)
}

fn write_new(path: &Path, file: &NewFile) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if file.is_secret {
        options.mode(SECRET_MODE);
    }
    options.open(path)?.write_all(file.content.as_bytes())
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_written_configuration_is_valid_and_names_its_schema() {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path(), false).unwrap();
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
        let error = write_all(&file.join("site"), false).unwrap_err().to_string();
        let expected = format!("cannot write {}: ", file.join("site/gateway.yaml").display());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn with_tls_there_is_a_listener_with_a_certificate_that_the_authority_issued() {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path(), true).unwrap();
        let config = gateway_config::load(&directory.path().join("gateway.yaml")).unwrap();
        assert_eq!(config.listeners.iter().filter(|listener| listener.tls.is_some()).count(), 1);
        assert_eq!(config.listeners.len(), 2);
        assert_eq!(gateway_server::check_certificates(&config), []);
        for (name, mode) in
            [("ca.pem", 0o644), ("ca.key", 0o600), ("localhost.pem", 0o644), ("localhost.key", 0o600)]
        {
            let metadata = fs::metadata(directory.path().join("tls").join(name)).unwrap();
            let found = metadata.permissions().mode() & 0o777;
            // The process may keep more to itself than it was asked to.
            assert_eq!(found & !mode, 0, "{name} has the mode {found:o}");
        }
    }

    #[test]
    fn an_existing_file_is_kept_and_nothing_else_is_written() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("gateway.yaml"), "mine").unwrap();
        let error = write_all(directory.path(), true).unwrap_err().to_string();
        assert!(error.contains("gateway.yaml is there already"), "{error}");
        assert_eq!(fs::read_to_string(directory.path().join("gateway.yaml")).unwrap(), "mine");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
