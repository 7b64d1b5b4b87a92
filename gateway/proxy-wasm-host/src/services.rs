//! The services of a plugin as its VM holds them. They belong to one thread, and a VM that changes its thread goes
//! without: it gets those of its new thread before any code of the guest runs.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use fragile::Fragile;

use crate::abi::{MetricKind, Status};
use crate::host::Services;
use crate::limits::METRIC_IDS;

/// The services of a plugin, unless its VM is between two threads.
pub(crate) struct LocalServices(Option<Fragile<Rc<dyn Services>>>);

impl LocalServices {
    pub(crate) fn new(services: Rc<dyn Services>) -> Self {
        Self(Some(Fragile::new(services)))
    }

    /// Leaves none behind. To be called on the thread that they belong to.
    pub(crate) fn let_go(&mut self) {
        self.0 = None;
    }
}

impl Deref for LocalServices {
    type Target = dyn Services;

    fn deref(&self) -> &Self::Target {
        // Host calls come from guest code, which runs in a `Vm` of a `Plugin` or of a start alone; both have services.
        #[expect(clippy::expect_used, reason = "without services there is no guest that could ask")]
        let services = self.0.as_ref().expect("a guest runs with services only");
        &**services.get()
    }
}

/// Ids of metrics as the guest has them, which stay the same in each copy of it, and as its services know them.
///
/// As in Envoy the low two bits of a guest's id are the kind, and the same name again gets a new id.
#[derive(Default)]
pub(crate) struct MetricIds {
    /// Those that all copies of a VM on a thread have in common; they come first.
    common: Option<Arc<[u32]>>,
    own: Vec<u32>,
}

impl MetricIds {
    pub(crate) fn common(known: &Arc<[u32]>) -> Self {
        Self { common: (!known.is_empty()).then(|| known.clone()), own: Vec::new() }
    }

    fn known(&self) -> &[u32] {
        self.common.as_deref().unwrap_or_default()
    }

    /// The guest's id of what the services know as `of_services`.
    pub(crate) fn insert(&mut self, kind: MetricKind, of_services: u32) -> Result<u32, Status> {
        let count = self.known().len() + self.own.len();
        if count >= METRIC_IDS {
            return Err(Status::InternalFailure);
        }
        self.own.push(of_services);
        let number = u32::try_from(count + 1).map_err(|_| Status::InternalFailure)?;
        Ok(number << 2 | kind as u32)
    }

    /// The id that the services know.
    pub(crate) fn of_services(&self, guest_id: u32) -> Result<u32, Status> {
        let index = (guest_id >> 2).checked_sub(1).ok_or(Status::NotFound)? as usize;
        let known = self.known();
        let id = known.get(index).or_else(|| self.own.get(index.checked_sub(known.len())?));
        id.copied().ok_or(Status::NotFound)
    }

    /// All of them, to be common to copies.
    pub(crate) fn replace_all(&mut self, all: Vec<u32>) {
        *self = Self { common: None, own: all };
    }
}
