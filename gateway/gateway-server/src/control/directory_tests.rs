//! Scans of real directories; files are made old so that only the tests that mean to meet the quiet time.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("directory"))
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Writes a file as if it had been there for a while.
    fn put(&self, file: &str, content: &[u8]) {
        fs::write(self.path(file), content).expect("written");
        self.age(file);
    }

    fn age(&self, file: &str) {
        self.touch(file, SystemTime::now() - Duration::from_secs(60));
    }

    fn touch(&self, file: &str, modified: SystemTime) {
        let file = File::options().write(true).open(self.path(file)).expect("opened");
        file.set_modified(modified).expect("modification time set");
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).expect("removed");
    }

    fn scan(&self, previous: &Scan) -> Scan {
        scan(self.0.path(), previous)
    }

    fn first_scan(&self) -> Scan {
        self.scan(&Scan::default())
    }
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.filters.keys().map(String::as_str).collect()
}

fn problem<'a>(scan: &'a Scan, file: &str) -> Option<&'a FileProblem> {
    scan.problems.iter().find(|problem| problem.file == file).map(|problem| &problem.reason)
}

fn is_calm(scan: &Scan) -> bool {
    scan.problems.is_empty() && !scan.unstable && scan.directory_lost.is_none()
}

#[test]
fn filters_are_found_with_their_manifests() {
    let directory = Directory::new();
    directory.put("auth.wasm", b"abc");
    directory.put("auth.yaml", b"phase: authn");
    directory.put("a.b-c_2.wasm", b"");
    for ignored in ["README.md", ".hidden.wasm", "x.wasm~", "x.wasm.tmp", ".x.wasm.swp", "x.yaml.swp"] {
        directory.put(ignored, b"x");
    }
    let scan = directory.first_scan();
    assert!(is_calm(&scan), "{scan:?}");
    assert_eq!(names(&scan), ["a.b-c_2", "auth"]);
    let auth = &scan.filters["auth"];
    assert_eq!((&*auth.wasm, auth.manifest.as_deref()), (&b"abc"[..], Some("phase: authn")));
    // FIPS 180-2, appendix B.1.
    assert_eq!(auth.wasm_sha256[..4], [0xba, 0x78, 0x16, 0xbf]);
    assert_eq!(auth.wasm_sha256[28..], [0xf2, 0x00, 0x15, 0xad]);
    assert_eq!(scan.filters["a.b-c_2"].manifest, None);
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let directory = Directory::new();
    directory.put("a.wasm", b"one");
    directory.put("a.yaml", b"m");
    let first = directory.first_scan();
    let second = directory.scan(&first);
    assert!(Arc::ptr_eq(&first.filters["a"].wasm, &second.filters["a"].wasm));
    let manifests = [&first, &second].map(|scan| scan.filters["a"].manifest.clone().expect("manifest"));
    assert!(Arc::ptr_eq(&manifests[0], &manifests[1]));
}

#[test]
fn a_changed_file_is_read_even_if_size_and_modification_time_are_as_before() {
    let directory = Directory::new();
    directory.put("a.wasm", b"one");
    let modified = fs::metadata(directory.path("a.wasm")).expect("metadata").modified().expect("mtime");
    let first = directory.first_scan();
    fs::write(directory.path("a.wasm"), b"two").expect("written");
    directory.touch("a.wasm", modified);
    let second = directory.scan(&first);
    assert_eq!(&*second.filters["a"].wasm, b"two");
    assert_ne!(first.filters["a"].wasm_sha256, second.filters["a"].wasm_sha256);
}

#[test]
fn a_manifest_comes_changes_and_goes_without_reading_the_module_again() {
    let directory = Directory::new();
    directory.put("a.wasm", b"module");
    let mut last = directory.first_scan();
    let module = Arc::clone(&last.filters["a"].wasm);
    for manifest in [Some("one"), Some("other"), None] {
        match manifest {
            Some(text) => directory.put("a.yaml", text.as_bytes()),
            None => directory.remove("a.yaml"),
        }
        last = directory.scan(&last);
        assert!(is_calm(&last));
        assert_eq!(last.filters["a"].manifest.as_deref(), manifest);
        assert!(Arc::ptr_eq(&module, &last.filters["a"].wasm));
    }
    assert_eq!(last.filters["a"].manifest_signature, None);
}

#[test]
fn a_deleted_filter_is_gone() {
    let directory = Directory::new();
    directory.put("a.wasm", b"a");
    directory.put("b.wasm", b"b");
    let first = directory.first_scan();
    directory.remove("a.wasm");
    let second = directory.scan(&first);
    assert!(is_calm(&second));
    assert_eq!(names(&second), ["b"]);
}

#[test]
fn a_file_written_a_moment_ago_waits_and_the_old_state_stays() {
    let directory = Directory::new();
    directory.put("a.wasm", b"old");
    directory.put("a.yaml", b"old");
    let first = directory.first_scan();

    let now = SystemTime::now();
    directory.put("a.wasm", b"new");
    for (file, half) in [("a.yaml", b"ne"), ("b.wasm", b"b1")] {
        directory.put(file, half);
        directory.touch(file, now - QUIET_TIME / 2);
    }
    let second = scan_at(directory.0.path(), &first, now);
    assert!(second.unstable);
    assert_eq!(second.filters, first.filters, "neither half of a pair is taken up alone");

    for (file, whole) in [("a.yaml", b"new"), ("b.wasm", b"b12")] {
        directory.put(file, whole);
        directory.touch(file, now);
    }
    let third = scan_at(directory.0.path(), &second, now + QUIET_TIME);
    assert!(is_calm(&third));
    assert_eq!(names(&third), ["a", "b"]);
    assert_eq!(
        (&*third.filters["a"].wasm, third.filters["a"].manifest.as_deref()),
        (&b"new"[..], Some("new"))
    );
}

#[test]
fn a_modification_time_in_the_future_does_not_keep_a_file_out() {
    let directory = Directory::new();
    directory.put("a.wasm", b"a");
    directory.touch("a.wasm", SystemTime::now() + Duration::from_secs(3_600));
    assert_eq!(names(&directory.first_scan()), ["a"]);
}

/// Files in /proc give more bytes than their size says, as a file does that grows while it is read.
#[test]
fn a_file_that_grows_while_it_is_read_is_not_believed() {
    let later = SystemTime::now() + Duration::from_secs(60);
    let outcome = read_stable(Path::new("/proc/self/status"), MAX_MODULE_BYTES, None, later);
    assert!(matches!(outcome, Outcome::Changing));
}

#[test]
fn a_file_that_vanished_after_the_listing_is_looked_at_again_later() {
    let outcome = read_stable(Path::new("/no/such/file.wasm"), 1, None, SystemTime::now());
    assert!(matches!(outcome, Outcome::Changing));
}

#[test]
fn what_is_not_a_regular_file_is_refused_without_blocking() {
    let directory = Directory::new();
    directory.put("good.wasm", b"g");
    mknodat(CWD, directory.path("fifo.wasm"), FileType::Fifo, Mode::from(0o600), 0).expect("FIFO");
    fs::create_dir(directory.path("folder.wasm")).expect("folder");
    symlink("/dev/zero", directory.path("device.wasm")).expect("link");
    symlink("nowhere", directory.path("dangling.wasm")).expect("link");
    let scan = directory.first_scan();
    assert_eq!(names(&scan), ["good"]);
    for file in ["fifo.wasm", "folder.wasm", "device.wasm"] {
        assert_eq!(problem(&scan, file), Some(&FileProblem::NotRegular), "{file}");
    }
    assert_eq!(problem(&scan, "dangling.wasm"), Some(&FileProblem::DanglingLink));
    assert!(!scan.unstable);
}

#[test]
fn a_filter_that_can_no_longer_be_read_stays_as_it_was() {
    let directory = Directory::new();
    directory.put("a.wasm", b"a");
    directory.put("b.wasm", b"b");
    let first = directory.first_scan();
    directory.remove("a.wasm");
    fs::create_dir(directory.path("a.wasm")).expect("folder");
    let second = directory.scan(&first);
    assert_eq!(second.filters, first.filters);
    assert_eq!(problem(&second, "a.wasm"), Some(&FileProblem::NotRegular));
}

#[test]
fn files_over_the_limit_are_refused_unread() {
    let directory = Directory::new();
    directory.put("small.wasm", b"s");
    for (file, len) in [("large.wasm", MAX_MODULE_BYTES + 1), ("small.yaml", MAX_MANIFEST_BYTES + 1)] {
        File::create(directory.path(file)).and_then(|file| file.set_len(len)).expect("sparse file");
        directory.age(file);
    }
    let scan = directory.first_scan();
    assert_eq!(names(&scan), Vec::<&str>::new(), "a module does not run without its manifest");
    let too_large = |len, max| FileProblem::TooLarge { len, max };
    assert_eq!(problem(&scan, "large.wasm"), Some(&too_large(MAX_MODULE_BYTES + 1, MAX_MODULE_BYTES)));
    assert_eq!(problem(&scan, "small.yaml"), Some(&too_large(MAX_MANIFEST_BYTES + 1, MAX_MANIFEST_BYTES)));
}

#[test]
fn names_and_manifests_are_checked() {
    let directory = Directory::new();
    let long = format!("{}.wasm", "n".repeat(MAX_NAME_BYTES + 1));
    let longest = format!("{}.wasm", "n".repeat(MAX_NAME_BYTES));
    for file in ["with space.wasm", "ü.wasm", &long, &longest, "text.wasm"] {
        directory.put(file, b"x");
    }
    directory.put("text.yaml", b"ok\xff");
    directory.put("alone.yaml", b"x");
    directory.put("text.yml", b"x");
    let scan = directory.first_scan();
    assert_eq!(names(&scan), ["n".repeat(MAX_NAME_BYTES)]);
    for file in ["with space.wasm", "ü.wasm", &long] {
        assert_eq!(problem(&scan, file), Some(&FileProblem::IllegalName), "{file}");
    }
    assert_eq!(problem(&scan, "text.yaml"), Some(&FileProblem::NotUtf8(2)));
    assert_eq!(problem(&scan, "alone.yaml"), Some(&FileProblem::ManifestWithoutModule("alone".to_owned())));
    assert_eq!(problem(&scan, "text.yml"), Some(&FileProblem::WrongExtension));
    assert!(scan.problems.is_sorted_by_key(|problem| &problem.file));
}

#[test]
fn the_manifest_of_a_module_that_cannot_be_had_is_kept_apart() {
    let directory = Directory::new();
    directory.put("alone.yaml", b"phase: authn");
    fs::create_dir(directory.path("folder.wasm")).expect("folder");
    directory.put("folder.yaml", b"phase: authz");
    directory.put("whole.wasm", b"w");
    directory.put("whole.yaml", b"phase: stats");
    let first = directory.first_scan();
    let lone = |scan: &Scan| -> Vec<(String, String)> {
        scan.lone_manifests.iter().map(|(name, lone)| (name.clone(), lone.text.to_string())).collect()
    };
    let expected = [("alone", "phase: authn"), ("folder", "phase: authz")];
    assert_eq!(lone(&first), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert_eq!(first.problems.iter().map(ScanProblem::filter).collect::<Vec<_>>(), ["alone", "folder"]);
    let second = directory.scan(&first);
    assert_eq!(second.lone_manifests, first.lone_manifests);
    directory.put("alone.wasm", b"a");
    let third = directory.scan(&second);
    assert_eq!(third.lone_manifests.keys().collect::<Vec<_>>(), ["folder"]);
    assert_eq!(third.filters["alone"].manifest.as_deref(), Some("phase: authn"));
}

/// How Kubernetes publishes a ConfigMap: links through `..data`, which is swapped by renaming another link over it.
#[test]
fn a_config_map_swap_is_seen() {
    let directory = Directory::new();
    for (version, content) in [("..v1", "one"), ("..v2", "two")] {
        fs::create_dir(directory.path(version)).expect("folder");
        directory.put(&format!("{version}/a.wasm"), content.as_bytes());
        directory.put(&format!("{version}/a.yaml"), content.as_bytes());
    }
    symlink("..v1", directory.path("..data")).expect("link");
    symlink("..data/a.wasm", directory.path("a.wasm")).expect("link");
    symlink("..data/a.yaml", directory.path("a.yaml")).expect("link");
    let first = directory.first_scan();
    assert_eq!(first.filters["a"].manifest.as_deref(), Some("one"));
    symlink("..v2", directory.path("..data_tmp")).expect("link");
    fs::rename(directory.path("..data_tmp"), directory.path("..data")).expect("swap");
    let second = directory.scan(&first);
    assert!(is_calm(&second));
    let state = &second.filters["a"];
    assert_eq!((&*state.wasm, state.manifest.as_deref()), (&b"two"[..], Some("two")));
}

#[test]
fn a_lost_directory_keeps_everything() {
    let directory = Directory::new();
    directory.put("a.wasm", b"a");
    directory.put("b.wasm", b"b");
    let first = directory.first_scan();

    directory.remove("a.wasm");
    directory.remove("b.wasm");
    let emptied = directory.scan(&first);
    assert_eq!(emptied.directory_lost, Some(DirectoryLoss::Emptied(2)));
    assert_eq!(emptied.filters, first.filters);

    let missing = scan(&directory.path("gone"), &emptied);
    assert!(matches!(missing.directory_lost, Some(DirectoryLoss::Unreadable(_))));
    assert_eq!(missing.filters, first.filters);

    directory.put("b.wasm", b"b");
    let back = directory.scan(&missing);
    assert!(is_calm(&back));
    assert_eq!(names(&back), ["b"]);
}

#[test]
fn the_only_filter_can_be_deleted_but_does_not_go_with_its_directory() {
    let directory = Directory::new();
    directory.put("a.wasm", b"a");
    let first = directory.first_scan();

    let other = Directory::new();
    let unmounted = scan(&other.path("."), &first);
    assert_eq!(unmounted.directory_lost, Some(DirectoryLoss::Emptied(1)));
    assert_eq!(unmounted.filters, first.filters);

    directory.remove("a.wasm");
    let deleted = directory.scan(&first);
    assert!(is_calm(&deleted));
    assert!(deleted.filters.is_empty());
}

#[test]
fn an_empty_directory_at_the_start_is_not_lost() {
    let directory = Directory::new();
    assert!(is_calm(&directory.first_scan()));
    let missing = scan(&directory.path("none"), &Scan::default());
    assert!(matches!(missing.directory_lost, Some(DirectoryLoss::Unreadable(_))));
}

#[test]
fn a_directory_with_too_many_entries_is_not_read() {
    let directory = Directory::new();
    directory.put("a.wasm", b"a");
    let first = directory.first_scan();
    for n in 0..MAX_DIRECTORY_ENTRIES {
        File::create(directory.path(&format!("{n}.txt"))).expect("created");
    }
    let second = directory.scan(&first);
    assert_eq!(second.directory_lost, Some(DirectoryLoss::TooManyEntries));
    assert_eq!(second.filters, first.filters);
    directory.remove("7.txt");
    assert!(is_calm(&directory.scan(&second)));
}
