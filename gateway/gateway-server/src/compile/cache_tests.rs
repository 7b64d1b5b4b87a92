use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const MODULE: [u8; 32] = [7; 32];

fn place() -> (TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let directory = above.path().join("deep/cache");
    (above, directory)
}

fn artifact(bytes: &[u8]) -> Artifact {
    Artifact::from_helper(bytes.to_vec())
}

fn found(cache: &Cache, sha256: &[u8; 32]) -> Option<Vec<u8>> {
    cache.get(sha256).map(|artifact| artifact.bytes().to_vec())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn code_is_found_again_by_another_process_of_the_same_build_and_by_no_other() {
    let (_above, directory) = place();
    let cache = Cache::open(&directory, 1).unwrap();
    assert_eq!(found(&cache, &MODULE), None);
    cache.put(&MODULE, &artifact(b"code"));
    assert_eq!(found(&cache, &MODULE).unwrap(), b"code");
    assert_eq!(found(&Cache::open(&directory, 1).unwrap(), &MODULE).unwrap(), b"code");
    assert_eq!(found(&Cache::open(&directory, 2).unwrap(), &MODULE), None, "another engine");
    assert_eq!(found(&cache, &[8; 32]), None, "another module");
    assert_eq!(mode(&directory), 0o700);
    for file in fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn every_damaged_entry_is_noticed_and_can_be_written_anew() {
    let (_above, directory) = place();
    let cache = Cache::open(&directory, 1).unwrap();
    let path = cache.path(&MODULE);
    cache.put(&MODULE, &artifact(b"some code"));
    let whole = fs::read(&path).unwrap();
    let write = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        chmod(&path, 0o600);
    };
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        write(&flipped);
        assert_eq!(found(&cache, &MODULE), None, "byte {at}");
        assert!(!path.exists(), "byte {at}");
        write(&whole[..at]);
        assert_eq!(found(&cache, &MODULE), None, "cut at {at}");
    }
    write(&[&whole[..], b"x"].concat());
    assert_eq!(found(&cache, &MODULE), None, "longer");
    cache.put(&MODULE, &artifact(b"some code"));
    assert_eq!(found(&cache, &MODULE).unwrap(), b"some code");
}

#[test]
fn an_entry_under_the_name_of_another_module_is_not_used() {
    let (_above, directory) = place();
    let cache = Cache::open(&directory, 1).unwrap();
    cache.put(&MODULE, &artifact(b"code"));
    fs::rename(cache.path(&MODULE), cache.path(&[8; 32])).unwrap();
    assert_eq!(found(&cache, &[8; 32]), None);
}

#[test]
fn an_entry_that_another_key_signed_is_not_used() {
    let (_above, directory) = place();
    let (_elsewhere, other) = place();
    let (cache, foreign) = (Cache::open(&directory, 1).unwrap(), Cache::open(&other, 1).unwrap());
    foreign.put(&MODULE, &artifact(b"foreign"));
    fs::copy(foreign.path(&MODULE), cache.path(&MODULE)).unwrap();
    assert_eq!(found(&cache, &MODULE), None);
}

#[test]
fn what_others_could_write_to_is_not_used() {
    let (_above, directory) = place();
    let cache = Cache::open(&directory, 1).unwrap();
    cache.put(&MODULE, &artifact(b"code"));
    for open_to_others in [0o701, 0o710, 0o770, 0o777] {
        chmod(&directory, open_to_others);
        assert!(matches!(Cache::open(&directory, 1), Err(CacheProblem::Mode { .. })), "{open_to_others:o}");
        assert_eq!(found(&cache, &MODULE), None, "{open_to_others:o}: since it was opened");
        chmod(&directory, 0o700);
        cache.put(&MODULE, &artifact(b"code"));
    }
    chmod(&cache.path(&MODULE), 0o620);
    assert_eq!(found(&cache, &MODULE), None, "the entry");
    chmod(&directory.join(KEY_FILE), 0o640);
    assert!(matches!(Cache::open(&directory, 1), Err(CacheProblem::Mode { what: "the key", .. })));
}

#[test]
fn links_and_what_is_no_file_are_not_followed() {
    let (above, directory) = place();
    let cache = Cache::open(&directory, 1).unwrap();
    cache.put(&MODULE, &artifact(b"code"));
    let moved = above.path().join("moved");
    fs::rename(cache.path(&MODULE), &moved).unwrap();
    symlink(&moved, cache.path(&MODULE)).unwrap();
    assert_eq!(found(&cache, &MODULE), None, "a link");
    fs::create_dir(cache.path(&MODULE)).unwrap();
    assert_eq!(found(&cache, &MODULE), None, "a directory");

    let link = above.path().join("link");
    symlink(&directory, &link).unwrap();
    assert!(matches!(Cache::open(&link, 1), Err(CacheProblem::NotADirectory)));
    let file = above.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(Cache::open(&file, 1).is_err());
}

#[test]
fn a_key_of_another_length_is_refused() {
    let (_above, directory) = place();
    Cache::open(&directory, 1).unwrap();
    for bytes in [0, 31, 33] {
        fs::write(directory.join(KEY_FILE), vec![1; bytes]).unwrap();
        assert!(matches!(Cache::open(&directory, 1), Err(CacheProblem::Key(_))), "{bytes}");
    }
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let (_above, directory) = place();
    let cache = Cache::open(&directory, 1).unwrap();
    let modules: Vec<[u8; 32]> = (0..4).map(|n| [n; 32]).collect();
    for (age, module) in (1..).zip(&modules) {
        cache.put(module, &artifact(&[0; 1_000]));
        let used = SystemTime::now() - Duration::from_secs(1_000 - age);
        File::options().write(true).open(cache.path(module)).unwrap().set_modified(used).unwrap();
    }
    // The oldest is used, and so the newest.
    assert!(cache.get(&modules[0]).is_some());
    let abandoned = directory.join(format!("{TEMPORARY}1-1"));
    fs::write(&abandoned, "x").unwrap();
    let long_ago = SystemTime::now() - ABANDONED_AFTER * 2;
    File::options().write(true).open(&abandoned).unwrap().set_modified(long_ago).unwrap();

    cache.make_room(2_500, &cache.path(&modules[3])).unwrap();
    let kept: Vec<_> = modules.iter().map(|module| cache.path(module).exists()).collect();
    assert_eq!(kept, [true, false, false, true]);
    assert!(!abandoned.exists());
    assert!(directory.join(KEY_FILE).exists());
}

#[test]
fn there_is_a_look_at_all_entries_once_in_many_bytes() {
    let (_above, directory) = place();
    let cache = Cache::open(&directory, 1).unwrap();
    let abandoned = directory.join(format!("{TEMPORARY}1-1"));
    let abandon = || {
        fs::write(&abandoned, "x").unwrap();
        let long_ago = SystemTime::now() - ABANDONED_AFTER * 2;
        File::options().write(true).open(&abandoned).unwrap().set_modified(long_ago).unwrap();
    };
    let is_looked_at_after = |bytes: usize| {
        abandon();
        cache.put(&MODULE, &artifact(&vec![0; bytes]));
        !abandoned.exists()
    };
    let much = usize::try_from(BYTES_BETWEEN_LOOKS).unwrap();
    assert!(is_looked_at_after(1_000), "the first one");
    assert!(!is_looked_at_after(1_000));
    assert!(!is_looked_at_after(much), "what is written counts for the next one");
    assert!(is_looked_at_after(1_000));
    assert!(!is_looked_at_after(1_000));
}

#[test]
fn a_directory_that_cannot_be_written_to_costs_nothing_but_the_entry() {
    let (_above, directory) = place();
    let cache = Cache::open(&directory, 1).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    cache.put(&MODULE, &artifact(b"code"));
    assert_eq!(found(&cache, &MODULE), None);
}
