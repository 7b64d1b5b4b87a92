//! The callbacks for the parts of a message, which each direction has under names of its own.

use proxy_wasm_host::{Action, CallError, ContextId, Direction, Plugin};

use super::outcome::GuestCall;

/// What to call, with what it counts as.
pub(super) type MessageCall<F> = (GuestCall, F);

pub(super) fn headers(
    direction: Direction,
    count: usize,
    end_of_stream: bool,
) -> MessageCall<impl FnOnce(&mut Plugin, ContextId) -> Result<Action, CallError>> {
    (GuestCall::headers(direction), move |plugin, id| match direction {
        Direction::Request => plugin.on_request_headers(id, count, end_of_stream),
        Direction::Response => plugin.on_response_headers(id, count, end_of_stream),
    })
}

pub(super) fn body(
    direction: Direction,
    bytes: usize,
    end_of_stream: bool,
) -> MessageCall<impl FnOnce(&mut Plugin, ContextId) -> Result<Action, CallError>> {
    (GuestCall::body(direction), move |plugin, id| match direction {
        Direction::Request => plugin.on_request_body(id, bytes, end_of_stream),
        Direction::Response => plugin.on_response_body(id, bytes, end_of_stream),
    })
}

pub(super) fn trailers(
    direction: Direction,
    count: usize,
) -> MessageCall<impl FnOnce(&mut Plugin, ContextId) -> Result<Action, CallError>> {
    (GuestCall::trailers(direction), move |plugin, id| match direction {
        Direction::Request => plugin.on_request_trailers(id, count),
        Direction::Response => plugin.on_response_trailers(id, count),
    })
}
