//! Token files that are good, and those that are not.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn put(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_token_is_made_once_and_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    prepare(&path).unwrap();
    let made = fs::read_to_string(&path).unwrap();
    assert_eq!((made.trim().len(), fs::metadata(&path).unwrap().mode() & 0o777), (64, 0o600));
    prepare(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), made);
    assert!(is_token(&path, made.trim().as_bytes()).unwrap());
    for wrong in ["", &made[..63], &format!("{}0", made.trim()), "0000"] {
        assert!(!is_token(&path, wrong.as_bytes()).unwrap(), "{wrong}");
    }
}

#[test]
fn a_file_that_others_can_read_or_that_holds_no_token_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let good = "0123456789abcdef";
    let cases = [
        (good, 0o600, None),
        (good, 0o400, None),
        (good, 0o640, Some("has mode 0640")),
        (good, 0o604, Some("has mode 0604")),
        ("", 0o600, Some("holds no token")),
        ("too-short", 0o600, Some("holds no token")),
        ("0123456789 abcdef", 0o600, Some("holds no token")),
    ];
    for (text, mode, expected) in cases {
        put(&path, text, mode);
        let error = prepare(&path).err().map(|error| error.to_string());
        match (error, expected) {
            (None, None) => {}
            (Some(error), Some(expected)) => assert!(error.contains(expected), "{error}"),
            (error, expected) => panic!("{error:?} {expected:?}"),
        }
    }
    assert!(prepare(folder.path()).unwrap_err().to_string().contains("not a regular file"));
    assert!(
        prepare(&folder.path().join("no/such/folder")).unwrap_err().to_string().contains("cannot be made")
    );
}
