//! Who may write to a state directory: one process at a time, by an advisory lock on a file in it, which the kernel takes away
//! from a process that ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Beside the folders of filters, so that no filter's folder is meant by it.
const FILE: &str = "lock";
/// Digits of a process's number.
const MAX_DIGITS: u64 = 20;

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _held: File,
}

/// Takes the lock, or says who has it.
pub(super) fn take(root: &Path) -> io::Result<Result<Lock, String>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(root.join(FILE))?;
    match file.try_lock() {
        Ok(()) => {
            // For humans and the message below; the lock is as good without it.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Ok(Ok(Lock { _held: file }))
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.take(MAX_DIGITS).read_to_string(&mut holder)?;
            let is_number = !holder.is_empty() && holder.bytes().all(|byte| byte.is_ascii_digit());
            Ok(Err(if is_number { format!("process {holder}") } else { "another process".to_owned() }))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_the_others_are_told_who_and_it_is_free_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let held = take(folder.path()).unwrap().unwrap();
        let own = format!("process {}", std::process::id());
        assert_eq!(take(folder.path()).unwrap().unwrap_err(), own);
        std::fs::write(folder.path().join(FILE), "rm -rf").unwrap();
        assert_eq!(take(folder.path()).unwrap().unwrap_err(), "another process");
        drop(held);
        assert!(take(folder.path()).unwrap().is_ok());
    }
}
