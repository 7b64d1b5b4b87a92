//! What a plugin told its services while it started, so that it can be said again where a copy of it lives: the guest
//! holds the ids.

use crate::abi::MetricKind;
use crate::host::Services;
use crate::plugin::StartError;

/// Definitions and registrations of a start, in order.
#[derive(Clone, Default)]
pub(crate) struct StartRecord {
    metrics: Vec<(MetricKind, Box<[u8]>)>,
    queues: Vec<(Box<[u8]>, u32)>,
}

impl StartRecord {
    pub(crate) fn metric(&mut self, kind: MetricKind, name: &[u8]) {
        self.metrics.push((kind, name.into()));
    }

    /// The services bound how many queues there are.
    pub(crate) fn queue(&mut self, name: &[u8], id: u32) {
        if !self.queues.iter().any(|(known, _)| **known == *name) {
            self.queues.push((name.into(), id));
        }
    }

    /// Tells other services the same; returns the ids of the metrics as they know them, in the guest's order.
    pub(crate) fn repeat(&self, services: &dyn Services) -> Result<Vec<u32>, StartError> {
        for (name, id) in &self.queues {
            // Queues are found by ids that the guest holds.
            if services.register_queue(name) != Ok(*id) {
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(StartError::Restore { what: "queue", name });
            }
        }
        let define = |(kind, name): &(MetricKind, Box<[u8]>)| {
            services.define_metric(*kind, name).map_err(|_| {
                let name = String::from_utf8_lossy(name).into_owned();
                StartError::Restore { what: "metric", name }
            })
        };
        self.metrics.iter().map(define).collect()
    }
}
