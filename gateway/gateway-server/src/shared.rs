//! Everything mutable that more than one thread may touch, and the only module where a lock may be taken.
//!
//! Locks are held for a look-up or a copy, never across a guest call, an await or a callback. A panic while one is held
//! leaves data that is still whole, so poisoning is ignored rather than spread.

mod compile_queue;
mod containment;
mod data;
mod endpoints;
mod events;
pub(crate) mod filter_table;
mod guest_names;
pub(crate) mod guest_series;
mod image_place;
mod loads;
mod lru;
mod published;
mod queues;
pub(crate) mod series;
mod starts;
mod trap_queue;
mod trial_numbers;
mod upstreams;

pub(crate) use compile_queue::{Cancel, CompileFailures, CompileJob, CompileQueue, Lane};
pub(crate) use containment::{Admission, CallCounts, Containment, Limit, TryEnd};
pub(crate) use data::{DataLimits, Namespace, SetError, SharedData};
pub(crate) use endpoints::{Ejection, Health, SharedEndpoint};
pub(crate) use events::{Event, EventKind, Events, Page, Told};
pub(crate) use image_place::{ImagePlace, LateImages};
pub(crate) use loads::{Loads, Seat};
pub(crate) use lru::Scarce;
pub use published::OpenListener;
pub(crate) use published::Published;
pub(crate) use queues::{QueueError, Queues};
pub(crate) use starts::{StartedPool, Starts};
pub(crate) use trap_queue::{TrapQueue, TrapRecord};
pub(crate) use trial_numbers::{Difference, Numbers, Side, SideCells, TrialNumbers};
pub(crate) use upstreams::{Permit, SharedUpstream, UpstreamTable};

use std::sync::{Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
