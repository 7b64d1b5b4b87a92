//! The Unix socket of the admin interface, for the user of the gateway and root.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("admin.socket {}: {reason}", path.display())]
pub(crate) struct SocketError {
    path: PathBuf,
    reason: String,
}

/// The open socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Opens it, in the place of one that a process left behind that is gone.
    pub(crate) fn open(path: &Path) -> Result<Self, SocketError> {
        let failed = |reason: String| SocketError { path: path.to_owned(), reason };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error.to_string())),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(failed(
                    "is there and is not a socket; remove it, or choose another path".to_owned(),
                ));
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(_) => return Err(failed("another process listens on it".to_owned())),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(|error| failed(error.to_string()))?;
                }
                Err(error) => return Err(failed(error.to_string())),
            },
        }
        let open = || {
            let listener = UnixListener::bind(path)?;
            // Who connects in between is asked who he is all the same.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        };
        let listener = open().map_err(|error| failed(error.to_string()))?;
        Ok(Self { listener, path: path.to_owned() })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // A file that is gone already needs no removing.
        let _ = fs::remove_file(&self.path);
    }
}
