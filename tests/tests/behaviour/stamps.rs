//! What the guest `stamp` leaves on responses.

use gateway_tests::{Gateway, Response, eventually};

/// The stamps of a response, in the order in which filters added them.
pub(crate) fn stamps(response: &Response) -> Vec<&str> {
    response.headers.all("x-stamp")
}

/// Waits until new requests get this stamp and no other.
pub(crate) fn await_stamp(gateway: &Gateway, stamp: &str) {
    eventually(&format!("the stamp {stamp}"), || stamps(&gateway.get("/")) == [stamp]);
}
