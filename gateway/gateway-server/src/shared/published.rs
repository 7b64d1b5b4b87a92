//! What the control thread publishes for whoever holds the running gateway.

use std::net::SocketAddr;
use std::sync::Mutex;

use super::lock;

/// What the control thread publishes.
#[derive(Debug, Default)]
pub(crate) struct Published {
    listeners: Mutex<Vec<(String, SocketAddr)>>,
}

impl Published {
    /// Name and real address of every open listener.
    pub(crate) fn listeners(&self) -> Vec<(String, SocketAddr)> {
        lock(&self.listeners).clone()
    }

    pub(crate) fn set_listeners(&self, listeners: Vec<(String, SocketAddr)>) {
        *lock(&self.listeners) = listeners;
    }
}
