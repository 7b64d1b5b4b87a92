//! What is on disk after a write, and what is made of it when it is damaged or not ours.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::control::versions::VersionKey;

fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn record(modules: &[&[u8]]) -> Record {
    let kept =
        modules.iter().map(|wasm| VersionKey { sha256: sha(wasm), manifest: None, secrets: None }).collect();
    Record { kept, live: Some("a".to_owned()), ..Record::default() }
}

fn opened(folder: &Path) -> (Store, Records) {
    Store::open(&StateDirectory::At(folder.to_owned()), Path::new("filters"))
}

fn write(store: &mut Store, record: &Record) {
    let written = store.writing(vec![("auth".to_owned(), record.clone())]).unwrap().run();
    assert!(store.noted(written));
}

#[test]
fn records_and_modules_come_back_and_old_modules_go() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, records) = opened(folder.path());
    assert!(records.is_empty());
    let (old, new) = (record(&[b"one", b"two"]), record(&[b"two"]));
    store.take(sha(b"one"), b"one".as_slice().into());
    store.take(sha(b"two"), b"two".as_slice().into());
    write(&mut store, &old);
    drop(store);
    let (mut store, records) = opened(folder.path());
    assert_eq!(records["auth"], old);
    let path = |store: &Store, wasm: &[u8]| store.at_hand("auth", &sha(wasm)).unwrap_err().unwrap();
    assert_eq!(&*read_module(&path(&store, b"one"), &sha(b"one")).unwrap(), b"one");
    write(&mut store, &new);
    assert!(read_module(&path(&store, b"one"), &sha(b"one")).is_err());
    assert_eq!(&*read_module(&path(&store, b"two"), &sha(b"two")).unwrap(), b"two");
    let own = folder.path().join("filters/auth");
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(own.join(RECORD)).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_module_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = opened(folder.path());
    store.take(sha(b"one"), b"one".as_slice().into());
    write(&mut store, &record(&[b"one"]));
    let path = store.at_hand("auth", &sha(b"one")).unwrap_err().unwrap();
    fs::write(&path, b"two").unwrap();
    assert!(read_module(&path, &sha(b"one")).unwrap_err().contains("damaged"));
}

#[test]
fn a_damaged_record_is_left_out_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = opened(folder.path());
    write(&mut store, &record(&[]));
    for (name, text) in [("cut", "{\"format\": 1, \"entr"), ("empty", ""), ("newer", "{\"format\": 9}")] {
        let damaged = folder.path().join("filters").join(name);
        fs::create_dir(&damaged).unwrap();
        fs::write(damaged.join(RECORD), text).unwrap();
    }
    fs::create_dir(folder.path().join("filters/nothing")).unwrap();
    drop(store);
    let (_, records) = opened(folder.path());
    assert_eq!(records.keys().collect::<Vec<_>>(), ["auth"]);
}

#[test]
fn a_directory_that_others_can_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("filters");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    let (mut store, _) = opened(folder.path());
    assert!(store.writing(Vec::new()).is_none());
    store.take(sha(b"one"), b"one".as_slice().into());
    assert_eq!(&*store.at_hand("auth", &sha(b"one")).unwrap(), b"one", "it is kept in memory");
    store.forget_all_but(&Records::new());
    assert_eq!(store.at_hand("auth", &sha(b"one")), Err(None), "and no longer than it is wanted");
}

#[test]
fn a_write_that_fails_keeps_the_modules_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = opened(folder.path());
    fs::write(folder.path().join("filters/auth"), "in the way").unwrap();
    store.take(sha(b"one"), b"one".as_slice().into());
    let record = record(&[b"one"]);
    let written = store.writing(vec![("auth".to_owned(), record.clone())]).unwrap().run();
    assert!(!store.noted(written));
    assert_eq!(&*store.at_hand("auth", &sha(b"one")).unwrap(), b"one");
    fs::remove_file(folder.path().join("filters/auth")).unwrap();
    write(&mut store, &record);
    assert!(store.at_hand("auth", &sha(b"one")).is_err(), "now it is on disk");
}

#[test]
fn what_a_link_leads_to_is_neither_read_nor_written() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = opened(folder.path());
    write(&mut store, &record(&[]));
    let own = folder.path().join("filters/auth");
    let victim = folder.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    std::os::unix::fs::symlink(&victim, own.join("record.tmp")).unwrap();
    write(&mut store, &record(&[]));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    fs::remove_file(own.join(RECORD)).unwrap();
    std::os::unix::fs::symlink(&victim, own.join(RECORD)).unwrap();
    drop(store);
    assert!(opened(folder.path()).1.is_empty());
}

#[test]
fn a_second_process_reads_writes_nothing_and_goes_on_when_the_first_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, _) = opened(folder.path());
    first.take(sha(b"one"), b"one".as_slice().into());
    write(&mut first, &record(&[b"one"]));
    let (mut second, records) = opened(folder.path());
    assert_eq!(records["auth"], record(&[b"one"]));
    assert!(second.writing(Vec::new()).is_none());
    let path = second.at_hand("auth", &sha(b"one")).unwrap_err().unwrap();
    assert_eq!(&*read_module(&path, &sha(b"one")).unwrap(), b"one");
    let root = second.outside_of().unwrap();
    assert!(enter(&root).unwrap().is_none());
    write(&mut first, &record(&[]));
    first.leave();
    let (lock, records) = enter(&root).unwrap().unwrap();
    assert_eq!(records["auth"], record(&[]));
    second.entered(lock);
    assert!(second.outside_of().is_none());
    write(&mut second, &record(&[b"two"]));
}
