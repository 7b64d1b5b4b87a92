//! What the control thread publishes for whoever holds the running gateway.

use std::net::SocketAddr;
use std::sync::Mutex;

use super::lock;

/// An open listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenListener {
    /// As configured.
    pub name: String,
    /// The address it really has: port 0 of the configuration is a real port here.
    pub address: SocketAddr,
    /// Whether clients have to speak TLS.
    pub is_tls: bool,
}

/// What the control thread publishes.
#[derive(Debug, Default)]
pub(crate) struct Published {
    listeners: Mutex<Vec<OpenListener>>,
}

impl Published {
    /// Every open listener.
    pub(crate) fn listeners(&self) -> Vec<OpenListener> {
        lock(&self.listeners).clone()
    }

    pub(crate) fn set_listeners(&self, listeners: Vec<OpenListener>) {
        *lock(&self.listeners) = listeners;
    }
}
