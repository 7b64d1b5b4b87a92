//! The control thread: configuration and filters from disk to all workers, names to addresses, the admin API.
//!
//! The only part that reads files or compiles anything. Nothing on the data path imports it; workers hear from it by
//! [`crate::worker::Command`]s alone.

mod admin;
mod directory;
mod filters;
mod names;
mod readiness;
mod reload;
mod sockets;
mod watch;

pub(crate) use admin::Admin;
pub use reload::ConfigSource;
pub(crate) use reload::{ApplyError, Control, Request};
pub(crate) use sockets::BindError;

pub(crate) use admin::bind as bind_admin;
