//! HTTP callouts: `proxy_http_call` and `proxy_get_status`. Sending is the embedder's; who may be called, how much and how
//! many is decided here.

use std::time::Duration;

use super::headers::read_list;
use super::{Offers, offer};
use crate::abi::{LogLevel, Status};
use crate::effects::{Effect, HeaderList, HttpCall};
use crate::host::Made;
use crate::memory::{Guest, Out, Outcome, Span, hand_over, split, write};
use crate::state::HostState;

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offer!(offers, "proxy_http_call", |guest,
                                       upstream: u32,
                                       upstream_len: u32,
                                       headers: u32,
                                       headers_len: u32,
                                       body: u32,
                                       body_len: u32,
                                       trailers: u32,
                                       trailers_len: u32,
                                       timeout_ms: i32,
                                       token_at: u32| {
        let given = CallArguments {
            upstream: Span::new(upstream, upstream_len),
            headers: Span::new(headers, headers_len),
            body: Span::new(body, body_len),
            trailers: Span::new(trailers, trailers_len),
            timeout_ms,
        };
        http_call(guest, &given, token_at)
    })?;
    offer!(offers, "proxy_get_status", |guest, code_at: u32, message_at: u32, len_at: u32| {
        get_status(guest, code_at, Out::new(message_at, len_at))
    })
}

struct CallArguments {
    upstream: Span,
    headers: Span,
    body: Span,
    trailers: Span,
    timeout_ms: i32,
}

fn http_call(guest: &mut Guest<'_>, given: &CallArguments, token_at: u32) -> Outcome {
    let (memory, state) = split(guest)?;
    write(memory, token_at, 0_u32.to_le_bytes())?;
    let call = read_call(memory, state, given)?;
    let stream = state.stream_id();
    admit(state, &call)?;
    let token = state.calls.insert(state.plugin.root, stream, call.size_bytes());
    if let Some(pending) = stream.and_then(|stream| state.streams.pending_calls(stream)) {
        *pending += 1;
    }
    state.plugin.effects.push(Effect::HttpCall { token, stream, call });
    Ok(write(memory, token_at, token.0.to_le_bytes())?)
}

fn read_call(memory: &[u8], state: &HostState, given: &CallArguments) -> Result<HttpCall, Status> {
    let limits = state.limits();
    let (upstream, body) = (given.upstream.read(memory)?, given.body.read(memory)?);
    let headers = read_list(memory, given.headers, limits)?;
    let trailers = read_list(memory, given.trailers, limits)?;
    let timeout_ms = u64::try_from(given.timeout_ms).map_err(|_| Status::BadArgument)?;
    let is_complete = REQUIRED_HEADERS.iter().all(|name| has(&headers, name));
    if !is_complete || !state.plugin.services.knows_upstream(upstream) {
        return Err(Status::BadArgument);
    }
    state.plugin.services.check_headers(Made::CallHeaders, &headers)?;
    state.plugin.services.check_headers(Made::CallTrailers, &trailers)?;
    if body.len() > limits.call_body_bytes {
        return Err(Status::InternalFailure);
    }
    Ok(HttpCall {
        upstream: String::from_utf8(upstream.to_vec()).map_err(|_| Status::BadArgument)?,
        headers,
        body: body.to_vec(),
        trailers,
        timeout: (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms)),
    })
}

const REQUIRED_HEADERS: [&[u8]; 3] = [b":method", b":path", b":authority"];

fn has(headers: &HeaderList, name: &[u8]) -> bool {
    headers.iter().any(|(candidate, _)| candidate == name)
}

/// Authority first, then room.
fn admit(state: &mut HostState, call: &HttpCall) -> Result<(), Status> {
    let upstream = &call.upstream;
    if !state.plugin.config.callouts.contains(upstream) {
        let message = format!(
            "the filter may not call upstream {upstream:?}; to allow it, write in its manifest: capabilities: {{callouts: [{upstream}]}}"
        );
        state.log(LogLevel::Error, message.as_bytes());
        return Err(Status::InternalFailure);
    }
    let of_stream =
        state.stream_id().and_then(|id| state.streams.pending_calls(id)).map_or(0, |pending| *pending);
    let limits = state.limits();
    if state.calls.len() >= limits.pending_calls
        || of_stream >= limits.pending_calls_per_stream
        || state.calls.bytes() + call.size_bytes() > limits.pending_call_bytes
    {
        state.plugin.services.refused_call();
        return Err(Status::InternalFailure);
    }
    Ok(())
}

/// Envoy tells a reset callout from an answer by this code alone.
const RESET: (u32, &[u8]) = (11, b"reset");

fn get_status(guest: &mut Guest<'_>, code_at: u32, message: Out) -> Outcome {
    let is_reset = guest.data().answer.as_ref().is_some_and(|answer| answer.is_aborted());
    let (code, text) = if is_reset { RESET } else { (0, &b""[..]) };
    write(split(guest)?.0, code_at, code.to_le_bytes())?;
    hand_over(guest, message, |_, _, bytes| {
        bytes.extend_from_slice(text);
        Ok(())
    })
}
