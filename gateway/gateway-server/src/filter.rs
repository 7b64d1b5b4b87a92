//! Filters on the data path: a chain of Proxy-Wasm plugins around one request.
//!
//! Owns pause and resume, local replies, failure policy and buffering for filters. `wasm` is the only part that talks
//! to the Proxy-Wasm host; nothing here knows connections or upstreams (callouts ask `request::send` for that).

mod body;
mod chain;
mod foreign;
mod guard;
mod hold;
mod machine;
mod message_call;
mod on_trial;
mod outcome;
mod services;
mod shadow;
mod signals;
mod starts;
mod stream;
mod supply;
mod vms;
mod wasm;

pub(crate) use body::{FilteredBody, Framing};
pub(crate) use chain::{Chain, ChainInput, FilterList, Verdict};
pub(crate) use on_trial::{OnTrial, attach, trials};
pub(crate) use outcome::{CallOutcome, GuestCall};
pub(crate) use services::{PluginServices, QueueHold};
pub(crate) use starts::{start_each, start_sets};
pub(crate) use stream::{StreamEnd, StreamFacts, StreamState, protocol};
pub(crate) use supply::{have_machines, wait_for_machines};
pub(crate) use vms::instances;
pub(crate) use wasm::{FilterInstance, InstanceError};
