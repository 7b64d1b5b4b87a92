//! The message gate of a connection to an upstream: what is read of a response has passed it, and a response that is refused
//! fails its request instead of being half believed.

use std::cell::Cell;
use std::rc::Rc;

use gateway_wire::Refusal;
use gateway_wire::gate::{Expected, Limits, Next, ResponseGate, Scan};
use http::Method;

use super::ends::ConnectionEnds;
use crate::gated::Door;

/// What the user of a connection and its gate tell each other, and what is known of it.
#[derive(Default)]
pub(super) struct Asked {
    /// Here because both have this one already: a request carries no more for it.
    pub(super) ends: Rc<ConnectionEnds>,
    /// What was sent and not seen by the gate yet.
    next: Cell<Option<Expected>>,
    is_spoiled: Cell<bool>,
}

impl Asked {
    pub(super) fn over(ends: ConnectionEnds) -> Self {
        Self { ends: Rc::new(ends), ..Self::default() }
    }

    /// A request of this method is sent.
    pub(super) fn request(&self, method: &Method) {
        self.next.set(Some(if method == Method::HEAD { Expected::NoBody } else { Expected::Any }));
    }

    /// A request is sent that asks for another protocol.
    pub(super) fn switch(&self) {
        self.next.set(Some(Expected::Switch));
    }

    /// Whether something came that was no response, so that nothing more can be believed.
    pub(super) const fn is_spoiled(&self) -> bool {
        self.is_spoiled.get()
    }
}

/// The gate of one connection.
pub(super) struct UpstreamDoor {
    gate: ResponseGate,
    asked: Rc<Asked>,
}

impl UpstreamDoor {
    pub(super) fn new(limits: Limits, asked: Rc<Asked>) -> Self {
        Self { gate: ResponseGate::new(limits), asked }
    }
}

impl Door for UpstreamDoor {
    fn scan(&mut self, bytes: &[u8]) -> Scan {
        if let Some(expected) = self.asked.next.take() {
            self.gate.expect(expected);
        }
        let scan = self.gate.scan(bytes);
        if matches!(scan.next, Next::Refused(_)) {
            self.asked.is_spoiled.set(true);
        }
        scan
    }

    /// Never asked: what follows an upstream's `101` is known to be no HTTP.
    fn stays(&mut self) -> bool {
        true
    }

    fn refused(&mut self, _: Refusal, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn keeps_head(&mut self, _: bool) {}
}
