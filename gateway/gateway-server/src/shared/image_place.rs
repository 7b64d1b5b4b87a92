//! The image of one version of a filter, which may still be in the making while the version serves.

use std::sync::{Arc, OnceLock};

use proxy_wasm_host::Image;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Cancel;

/// Images in the making whose versions are live without. Each waits for a helper, whose queue has an end; and whoever makes
/// modules that take long must not fill it for all others.
const MAX_LATE: usize = 8;

/// Counts images in the making whose versions are live without.
pub(crate) struct LateImages(Arc<Semaphore>);

impl Default for LateImages {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LATE)))
    }
}

impl LateImages {
    /// One more for as long as this is kept; none if there are enough.
    pub(crate) fn one_more(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// Where the image of a version is, once it is made. Nobody goes on making it when the version is gone.
#[derive(Default)]
pub(crate) struct ImagePlace {
    made: OnceLock<Result<Arc<Image>, String>>,
    cancel: Cancel,
}

impl ImagePlace {
    /// Of a version that has none, and why.
    pub(crate) fn without(reason: String) -> Arc<Self> {
        let place = Self::default();
        place.fill(Err(reason));
        Arc::new(place)
    }

    /// To be done once: the image, or why there is none.
    pub(crate) fn fill(&self, outcome: Result<Arc<Image>, String>) {
        // A second time would be by whoever was first.
        let _ = self.made.set(outcome);
    }

    /// What came of it, if that is known.
    pub(crate) fn outcome(&self) -> Option<&Result<Arc<Image>, String>> {
        self.made.get()
    }

    pub(crate) fn image(&self) -> Option<&Arc<Image>> {
        self.made.get()?.as_ref().ok()
    }

    /// Says that nobody waits for it any more.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

impl Drop for ImagePlace {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
