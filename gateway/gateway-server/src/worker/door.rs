//! The message gate of a client connection, and what it tells the requests of that connection.
//!
//! A head that is refused never reaches the HTTP library. In its place goes one that does no harm and stands for it, so that
//! the refusal is answered, logged and counted as a request: in its turn, after those that came before it.

use std::cell::Cell;
use std::rc::Rc;

use gateway_wire::Refusal;
use gateway_wire::gate::{Limits, RequestGate, Scan, first_line};

use super::activity::ConnectionHandle;
use crate::gated::Door;

/// What stands for the first line of a refused head that has none that could be read.
const NO_LINE: &[u8] = b"GET / HTTP/1.1";
/// The rest of the head that stands for a refused one.
const NO_HEADERS: &[u8] = b"\r\nhost: refused.invalid\r\nconnection: close\r\n\r\n";

/// What the gate of a connection and its requests tell each other.
#[derive(Default)]
pub(crate) struct Notes {
    /// The refused head, and which request stands for it: the first is 1.
    refused: Cell<Option<(u64, Refused)>>,
    /// Requests that began.
    begun: Cell<u64>,
    /// Requests that were answered in HTTP.
    answered: Cell<u64>,
    /// Some of a head has arrived.
    pub(super) keeps_head: Cell<bool>,
}

/// A request whose head was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// Whether method and target are those of the client.
    pub(crate) has_line: bool,
}

impl Notes {
    pub(super) fn request_began(&self) {
        self.begun.set(self.begun.get() + 1);
    }

    /// The newest request was answered, and not by leaving HTTP.
    pub(super) fn answered(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    /// Why the newest request is to be refused, if it is.
    pub(super) fn refused(&self) -> Option<Refused> {
        let (nth, refused) = self.refused.get()?;
        (nth == self.begun.get()).then_some(refused)
    }
}

/// The gate of a client connection that speaks HTTP/1.
pub(crate) struct ClientDoor {
    gate: RequestGate,
    handle: Rc<ConnectionHandle>,
}

impl ClientDoor {
    pub(super) fn new(limits: Limits, handle: Rc<ConnectionHandle>) -> Self {
        Self { gate: RequestGate::new(limits), handle }
    }
}

impl Door for ClientDoor {
    fn scan(&mut self, bytes: &[u8]) -> Scan {
        self.gate.scan(bytes)
    }

    fn stays(&mut self) -> bool {
        let stays = self.handle.notes.answered.get() >= self.gate.heads();
        if stays {
            self.gate.stays();
        }
        stays
    }

    fn refused(&mut self, refusal: Refusal, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.gate.is_in_body() {
            return None;
        }
        let line = first_line(bytes);
        let refused = Refused { refusal, has_line: line.is_some() };
        self.handle.notes.refused.set(Some((self.gate.heads() + 1, refused)));
        Some([line.unwrap_or(NO_LINE), NO_HEADERS].concat())
    }

    fn keeps_head(&mut self, keeps: bool) {
        self.handle.notes.keeps_head.set(keeps);
    }
}
