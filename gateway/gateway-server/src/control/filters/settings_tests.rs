use super::*;

const MANIFEST: &str = "secrets: {token: {file: token.txt}}\nconfig: {token: {secret: token}}";

fn configuration(directory: &Path) -> (Vec<u8>, Vec<String>) {
    let manifest = gateway_config::parse_manifest(MANIFEST, "f.yaml").unwrap();
    let secrets = Secrets::read(Some(MANIFEST), Some(directory));
    (secrets.configuration(&manifest), secrets.problems().to_vec())
}

#[test]
fn a_file_is_read_without_its_last_line_break() {
    let directory = tempfile::tempdir().unwrap();
    for content in ["hunter2", "hunter2\n", "hunter2\r\n"] {
        fs::write(directory.path().join("token.txt"), content).unwrap();
        assert_eq!(configuration(directory.path()).0, br#"{"token":"hunter2"}"#);
    }
}

#[test]
fn what_is_no_secret_is_told_and_never_with_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token.txt");
    assert!(configuration(directory.path()).1[0].contains("token.txt cannot be read"));
    let long = "x".repeat(MAX_SECRET_BYTES as usize + 1);
    for (content, problem) in
        [(&b"\n"[..], "is empty"), (b"hunter2\xff", "is not UTF-8 text"), (long.as_bytes(), "has more than")]
    {
        fs::write(&path, content).unwrap();
        let problems = configuration(directory.path()).1;
        assert!(problems[0].contains(problem) && !problems[0].contains("hunter2"), "{problems:?}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(configuration(directory.path()).1[0].contains("is not a regular file"));
}

#[test]
fn a_fingerprint_changes_with_the_value_and_does_not_tell_it() {
    let directory = tempfile::tempdir().unwrap();
    let fingerprint = || Secrets::read(Some(MANIFEST), Some(directory.path())).fingerprint();
    let missing = fingerprint();
    fs::write(directory.path().join("token.txt"), "one").unwrap();
    let one = fingerprint();
    fs::write(directory.path().join("token.txt"), "two").unwrap();
    assert!(missing != one && one != fingerprint() && fingerprint() == fingerprint());
    assert_eq!(Secrets::read(Some("config: {a: b}"), None).fingerprint(), None);
    assert_eq!(Secrets::read(None, None).fingerprint(), None);
}

#[test]
fn the_files_to_watch_are_those_of_the_secrets() {
    let files =
        secret_files(Some("secrets: {a: {file: a}, b: {env: B}, c: {file: /c}}"), Some(Path::new("/f")));
    assert_eq!(files, [Path::new("/f/a"), Path::new("/c")]);
}
