use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

fn message(path: &Path) -> String {
    read_config(path).unwrap_err().to_string()
}

#[test]
fn a_missing_file_comes_with_the_help_of_its_kind() {
    let missing = Path::new("/no/such/file.yaml");
    assert!(message(missing).contains("help: give the file with `-c FILE`"), "{}", message(missing));
    let manifest = read_manifest(missing).unwrap_err().to_string();
    assert!(manifest.contains("cannot read `") && !manifest.contains("-c FILE"), "{manifest}");
}

#[test]
fn what_is_not_a_regular_file_is_refused_without_blocking() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo.yaml");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    for path in [fifo.as_path(), folder.path(), Path::new("/dev/zero")] {
        let message = message(path);
        assert!(message.contains("not a regular file"), "{message}");
        assert!(message.ends_with(&format!("1 error in {}", path.display())), "{message}");
    }
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    fs::write(&path, b"workers: 1\nname: \xff\n").unwrap();
    assert!(message(&path).contains("is not UTF-8 text: the first bad byte is in line 2"));
    fs::write(&path, vec![b'#'; MAX_FILE_BYTES + 1]).unwrap();
    assert!(message(&path).contains("is larger than 4MiB"));
    fs::write(&path, vec![b'#'; MAX_FILE_BYTES]).unwrap();
    assert_eq!(read_config(&path).unwrap().len(), MAX_FILE_BYTES);
}
