//! Against the real kernel. `SOON` is well below the rescan interval, so that only an event explains a return.

use std::os::unix::fs::symlink;

use notify::event::{DataChange, RemoveKind, RenameMode};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_millis(1_500);

struct Scene {
    root: TempDir,
    watcher: Watcher,
}

impl Scene {
    /// A configuration file and a filter directory side by side, both watched.
    fn new() -> Self {
        let root = tempfile::tempdir().expect("directory");
        fs::write(root.path().join("gateway.yaml"), "a").expect("written");
        fs::create_dir(root.path().join("filters")).expect("created");
        let watcher = Watcher::new(&[root.path().join("gateway.yaml"), root.path().join("filters")]);
        Self { root, watcher }
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.root.path().join(file), content).expect("written");
    }

    async fn changes_soon(&mut self) -> bool {
        timeout(SOON, self.watcher.changed()).await.is_ok()
    }
}

#[tokio::test]
async fn writing_creating_renaming_and_removing_are_seen() {
    let mut scene = Scene::new();
    scene.write("gateway.yaml", "b");
    assert!(scene.changes_soon().await, "file written");
    scene.write("filters/a.wasm", "a");
    assert!(scene.changes_soon().await, "filter created");
    scene.write("filters/a.wasm", "b");
    assert!(scene.changes_soon().await, "filter overwritten");
    let at = |file: &str| scene.root.path().join(file);
    fs::rename(at("filters/a.wasm"), at("filters/b.wasm")).expect("renamed");
    assert!(scene.changes_soon().await, "filter renamed");
    fs::remove_file(scene.root.path().join("filters/b.wasm")).expect("removed");
    assert!(scene.changes_soon().await, "filter removed");
    symlink("../gateway.yaml", scene.root.path().join("filters/c.yaml")).expect("linked");
    assert!(scene.changes_soon().await, "link made");
}

#[tokio::test]
async fn looking_is_not_a_change() {
    let mut scene = Scene::new();
    scene.write("filters/a.wasm", "a");
    assert!(scene.changes_soon().await);
    fs::read(scene.root.path().join("filters/a.wasm")).expect("read");
    fs::read_dir(scene.root.path().join("filters")).expect("listed").for_each(drop);
    let waited = timeout(2 * MAX_SETTLE_TIME, scene.watcher.changed()).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn a_replaced_directory_is_followed() {
    let mut scene = Scene::new();
    let (filters, old) = (scene.root.path().join("filters"), scene.root.path().join("old"));
    fs::rename(&filters, &old).expect("moved away");
    fs::create_dir(&filters).expect("created");
    assert!(scene.changes_soon().await, "replaced");
    scene.write("filters/a.wasm", "a");
    assert!(scene.changes_soon().await, "written in the new one");
}

#[tokio::test]
async fn a_directory_made_later_is_followed() {
    let root = tempfile::tempdir().expect("directory");
    let filters = root.path().join("filters");
    let mut watcher = Watcher::new(std::slice::from_ref(&filters));
    fs::create_dir(&filters).expect("created");
    assert!(timeout(SOON, watcher.changed()).await.is_ok(), "created");
    fs::write(filters.join("a.wasm"), "a").expect("written");
    assert!(timeout(SOON, watcher.changed()).await.is_ok(), "written");
}

#[tokio::test]
async fn a_swapped_link_beside_a_file_is_seen() {
    let mut scene = Scene::new();
    let at = |file: &str| scene.root.path().join(file);
    symlink("..v1", at("..data_tmp")).expect("linked");
    fs::rename(at("..data_tmp"), at("..data")).expect("swapped");
    assert!(scene.changes_soon().await);
}

#[tokio::test]
async fn a_directory_that_never_rests_does_not_hold_back_the_look() {
    let mut scene = Scene::new();
    let busy = scene.root.path().join("filters/busy");
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let writer = std::thread::spawn(move || {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            fs::write(&busy, "x").expect("written");
        }
    });
    let seen = scene.changes_soon().await;
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().expect("writer");
    assert!(seen);
}

#[tokio::test]
async fn giving_up_waiting_loses_no_event() {
    let mut scene = Scene::new();
    scene.write("filters/a.wasm", "a");
    let started = Instant::now();
    while timeout(Duration::from_millis(5), scene.watcher.changed()).await.is_err() {
        assert!(started.elapsed() < SOON);
    }
}

#[tokio::test]
async fn without_any_event_a_look_is_due_after_the_interval() {
    let mut watcher = Watcher::new(&[PathBuf::from("/no/such/place/filters")]);
    let started = Instant::now();
    assert!(timeout(3 * RESCAN_INTERVAL, watcher.changed()).await.is_ok());
    assert!(started.elapsed() >= RESCAN_INTERVAL - MAX_SETTLE_TIME);
}

#[test]
fn which_events_are_hints() {
    let targets = [PathBuf::from("/etc/gw/gateway.yaml"), PathBuf::from("/etc/gw/filters")];
    let is_hint = |kind, path: &str| is_relevant(&Event::new(kind).add_path(path.into()), &targets);
    let (own, beside, inside) = ("/etc/gw/gateway.yaml", "/etc/gw/access.log", "/etc/gw/filters/a.wasm");
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Any));
    let removed = EventKind::Remove(RemoveKind::Any);
    for kind in [written, closed, renamed, removed] {
        assert!(is_hint(kind, own) && is_hint(kind, inside), "{kind:?}");
    }
    for kind in [read, opened] {
        assert!(!is_hint(kind, own) && !is_hint(kind, inside), "{kind:?}");
    }
    assert!(!is_hint(written, beside) && !is_hint(closed, beside), "a log beside the configuration");
    assert!(is_hint(renamed, beside), "a swapped link");
    assert!(is_relevant(&Event::new(EventKind::Other), &targets), "an event without a path");
    let lost = Event::new(EventKind::Other).add_path(beside.into()).set_flag(notify::event::Flag::Rescan);
    assert!(is_relevant(&lost, &targets), "the kernel has lost events");
}
