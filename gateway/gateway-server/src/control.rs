//! The control thread: configuration, certificates and filters from disk to all workers, names to addresses, the admin API.
//!
//! The only part that reads files or compiles anything. Nothing on the data path imports it; workers hear from it by
//! [`crate::worker::Command`]s alone.

mod admin;
mod apply_error;
mod call;
mod certificates;
mod changes;
mod directory;
mod filter_page;
mod filters;
mod health;
mod names;
mod readiness;
mod reload;
mod reloads;
mod sockets;
mod state_place;
mod traps;
mod upstreams;
mod versions;
mod watch;
mod webhook;

pub(crate) use admin::{Admin, AdminSocket, SocketError, TokenError, prepare_token};
pub(crate) use apply_error::ApplyError;
pub use certificates::{CertificateProblem, check_certificates};
pub use filters::{FilterFinding, check_filters};
pub use reload::ConfigSource;
pub(crate) use reload::{Asked, Control, Request};
pub(crate) use sockets::BindError;
pub(crate) use traps::TrapReader;

pub(crate) use admin::bind as bind_admin;
