//! Says when to look at the watched paths again.
//!
//! Owns the kernel's watches and the timing. It never says what changed: events get lost, some file systems send none,
//! and directories are replaced as a whole; so an event is only a hint, and a look every [`RESCAN_INTERVAL`] heals the
//! rest. What changed is found by looking.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

/// A look is due once nothing happened for this long: tools write a file in several steps.
pub(crate) const SETTLE_TIME: Duration = Duration::from_millis(50);

/// A look is due at the latest this long after the first event, however busy the directory is.
pub(crate) const MAX_SETTLE_TIME: Duration = Duration::from_millis(300);

/// A look is due at the latest this long after the last one, without any event.
pub(crate) const RESCAN_INTERVAL: Duration = Duration::from_millis(1_500);

/// Watches files and directories for changes.
pub(crate) struct Watcher {
    targets: Arc<[PathBuf]>,
    /// None if the system has no more watches to give: then only the timer works.
    kernel: Option<RecommendedWatcher>,
    /// The directories under watch, and which ones they were: a path may come to name another directory.
    watched: HashMap<PathBuf, DirectoryId>,
    events: mpsc::Receiver<()>,
    /// Keeps `events` open when there is no kernel watcher.
    _events_open: mpsc::Sender<()>,
    /// The first event since the last look; kept here so that giving up waiting for [`Watcher::changed`] loses nothing.
    first_event: Option<Instant>,
    next_rescan: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct DirectoryId {
    inode: u64,
    device: u64,
}

impl Watcher {
    /// Watches each path: a directory's entries, a file's content, and for both that they are created or replaced. The
    /// paths need not exist yet.
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let targets: Arc<[PathBuf]> = paths.iter().map(absolute).collect();
        // One slot is enough: an event says only that there was one.
        let (sender, events) = mpsc::channel(1);
        let mut watcher = Self {
            kernel: kernel_watcher(Arc::clone(&targets), sender.clone()),
            targets,
            watched: HashMap::new(),
            events,
            _events_open: sender,
            first_event: None,
            next_rescan: Instant::now() + RESCAN_INTERVAL,
        };
        watcher.follow();
        watcher
    }

    /// Returns when it is time to look again. May be dropped and called again at any await without losing an event.
    pub(crate) async fn changed(&mut self) {
        if self.first_event.is_none() {
            tokio::select! {
                _ = self.events.recv() => self.first_event = Some(Instant::now()),
                () = sleep_until(self.next_rescan) => {}
            }
        }
        if let Some(first_event) = self.first_event {
            let deadline = first_event + MAX_SETTLE_TIME;
            while Instant::now() < deadline {
                let quiet_at = (Instant::now() + SETTLE_TIME).min(deadline);
                if timeout_at(quiet_at, self.events.recv()).await.is_err() {
                    break;
                }
            }
        }
        self.first_event = None;
        self.next_rescan = Instant::now() + RESCAN_INTERVAL;
        self.follow();
    }

    /// Puts the watches where the targets are now. Runs before each look, so that what changes after the look is seen.
    fn follow(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        let mut wanted: Vec<&Path> = self.targets.iter().map(PathBuf::as_path).collect();
        wanted.extend(self.targets.iter().filter_map(|target| target.parent()));
        for path in wanted {
            let found = directory_id(path);
            if self.watched.get(path).copied() == found {
                continue;
            }
            if self.watched.remove(path).is_some() {
                // The old directory may be gone, and the watch with it.
                let _ = kernel.unwatch(path);
            }
            let Some(id) = found else { continue };
            match kernel.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.watched.insert(path.to_owned(), id),
                Err(error) => tracing::debug!(?path, %error, "no watch; the rescan timer covers this path"),
            }
        }
    }
}

fn kernel_watcher(targets: Arc<[PathBuf]>, sender: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let handler = move |event: notify::Result<Event>| {
        if event.as_ref().map_or(true, |event| is_relevant(event, &targets)) {
            // A full channel holds an event already.
            let _ = sender.try_send(());
        }
    };
    match notify::recommended_watcher(handler) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(
                %error,
                "no file watches to be had; changes are found every {RESCAN_INTERVAL:?} only (see fs.inotify.max_user_instances)"
            );
            None
        }
    }
}

fn directory_id(path: &Path) -> Option<DirectoryId> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some(DirectoryId { inode: metadata.ino(), device: metadata.dev() })
}

/// Looking causes events itself (files are opened and read): those must not cause another look. Beside a target, a log
/// file may be written to all the time: there only the target itself counts, and names that come and go.
fn is_relevant(event: &Event, targets: &[PathBuf]) -> bool {
    if event.need_rescan() || event.paths.is_empty() {
        return true;
    }
    let names_change = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => return false,
        EventKind::Create(CreateKind::Folder) | EventKind::Modify(ModifyKind::Name(_)) => true,
        EventKind::Remove(_) => true,
        _ => false,
    };
    names_change
        || event
            .paths
            .iter()
            .any(|path| targets.iter().any(|target| path == target || path.parent() == Some(target)))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
