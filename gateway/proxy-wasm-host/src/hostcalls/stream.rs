//! What a guest does to a stream as a whole: resume, close, reply; and the choice of the context in effect.
//!
//! Only arguments are checked here. Wishes are queued, and without a stream in effect they come to nothing, as in Envoy.

use wasmtime::Linker;

use super::foreign::clear_route_cache;
use super::headers::read_list;
use super::{Offers, offer};
use crate::abi::{ContextId, Direction, Status};
use crate::effects::{Effect, LocalReply};
use crate::host::Made;
use crate::memory::{Guest, Outcome, Span, split};
use crate::state::{HostState, Shutdown};
use crate::stream::Wish;

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(offers, "proxy_continue_stream", |guest, stream_type: u32| {
        match Target::from_number(stream_type)? {
            Target::Http(direction) => resume(guest.data_mut(), direction),
            Target::Connection => {}
        }
        Ok(())
    })?;
    offer!(offers, "proxy_close_stream", |guest, stream_type: u32| {
        match Target::from_number(stream_type) {
            Ok(Target::Http(direction)) => close(guest.data_mut(), direction),
            // The connections that an HTTP stream came and goes over, as in Envoy.
            Ok(Target::Connection) | Err(Status::Unimplemented) => {}
            Err(status) => return Err(status.into()),
        }
        Ok(())
    })?;
    // ABI 0.1.0.
    offer!(offers, "proxy_continue_request", |guest| {
        resume(guest.data_mut(), Direction::Request);
        Ok(())
    })?;
    offer!(offers, "proxy_continue_response", |guest| {
        resume(guest.data_mut(), Direction::Response);
        Ok(())
    })?;
    // ABI 0.1.0; later a foreign function.
    offer!(offers, "proxy_clear_route_cache", |guest| {
        clear_route_cache(guest.data_mut());
        Ok(())
    })?;
    offer!(
        offers,
        "proxy_send_local_response",
        |guest,
         status: u32,
         details: u32,
         details_len: u32,
         body: u32,
         body_len: u32,
         headers: u32,
         headers_len: u32,
         grpc_status: i32| {
            let given = ReplyArguments {
                status,
                details: Span::new(details, details_len),
                body: Span::new(body, body_len),
                headers: Span::new(headers, headers_len),
                grpc_status,
            };
            send_local_response(guest, &given)
        }
    )?;
    offer!(offers, "proxy_set_effective_context", |guest, context: u32| {
        Ok(guest.data_mut().switch_context(ContextId(context))?)
    })?;
    offer!(offers, "proxy_done", |guest| done(guest))
}

/// The ABI text gives three functions of 0.1.0 no result, its hosts give them one; modules import either.
pub(super) fn link_void_variant(linker: &mut Linker<HostState>, name: &str) -> wasmtime::Result<()> {
    let direction = match name {
        "proxy_continue_request" => Some(Direction::Request),
        "proxy_continue_response" => Some(Direction::Response),
        "proxy_clear_route_cache" => None,
        _ => return Ok(()),
    };
    let function = move |guest: Guest<'_>| -> wasmtime::Result<()> {
        super::answer(guest, "a function of ABI 0.1.0", |guest| {
            match direction {
                Some(direction) => resume(guest.data_mut(), direction),
                None => clear_route_cache(guest.data_mut()),
            }
            Ok(())
        })
        .map(|_| ())
    };
    linker.func_wrap(super::ENV, name, function).map(|_| ())
}

enum Target {
    Http(Direction),
    /// The client's connection: nothing to do for an HTTP stream.
    Connection,
}

impl Target {
    fn from_number(number: u32) -> Result<Self, Status> {
        match number {
            0 => Ok(Self::Http(Direction::Request)),
            1 => Ok(Self::Http(Direction::Response)),
            2 => Ok(Self::Connection),
            3 => Err(Status::Unimplemented),
            _ => Err(Status::BadArgument),
        }
    }
}

fn resume(state: &mut HostState, direction: Direction) {
    let wish = match direction {
        Direction::Request => Wish::ResumeRequest,
        Direction::Response => Wish::ResumeResponse,
    };
    if let Some(stream) = state.wish(wish) {
        state.plugin.effects.push(Effect::Resume { stream, direction });
    }
}

fn close(state: &mut HostState, direction: Direction) {
    let wish = match direction {
        Direction::Request => Wish::CloseRequest,
        Direction::Response => Wish::CloseResponse,
    };
    if let Some(stream) = state.wish(wish) {
        state.plugin.effects.push(Effect::Close { stream, direction });
    }
}

struct ReplyArguments {
    status: u32,
    details: Span,
    body: Span,
    headers: Span,
    grpc_status: i32,
}

fn send_local_response(guest: &mut Guest<'_>, given: &ReplyArguments) -> Outcome {
    let (memory, state) = split(guest)?;
    let (details, body) = (given.details.read(memory)?, given.body.read(memory)?);
    let given_bytes = details.len() + body.len() + given.headers.read(memory)?.len();
    let limits = state.limits();
    let status = u16::try_from(given.status).ok().filter(|status| (200..=599).contains(status));
    let status = status.ok_or(Status::BadArgument)?;
    if given_bytes > limits.reply_bytes
        || given_bytes + state.plugin.effects.queued_reply_bytes() > limits.queued_reply_bytes
    {
        return Err(Status::InternalFailure.into());
    }
    let mut headers = read_list(memory, given.headers, limits)?;
    // The status is an argument; the other pseudo-headers make no sense in a response.
    headers.retain(|(name, _)| !name.starts_with(b":"));
    state.plugin.services.check_headers(Made::ReplyHeaders, &headers)?;
    let reply = LocalReply {
        status,
        details: details.to_vec(),
        body: body.to_vec(),
        headers,
        grpc_status: u32::try_from(given.grpc_status).ok(),
    };
    if let Some(stream) = state.wish(Wish::LocalReply) {
        state.plugin.effects.push(Effect::LocalReply { stream, reply });
    }
    Ok(())
}

/// Only meaningful after `proxy_on_done` of the plugin in effect answered false.
fn done(guest: &mut Guest<'_>) -> Outcome {
    let state = guest.data_mut();
    if state.plugin.shutdown != Shutdown::AwaitingGuest {
        return Err(Status::NotFound.into());
    }
    state.plugin.shutdown = Shutdown::GuestDone;
    state.has_guest_done = true;
    Ok(())
}
