//! One made-up request, before real ones: a module that fails in each of its callbacks must not find that out in traffic.
//!
//! It is a `GET /` with an empty body and trailers, which HTTP/2 allows, and an answer to it. What the filter wants done
//! (calls, replies, more time) is not done: it is asked how it behaves, and not what it thinks of the request.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm_host::fake::FakeStream;
use proxy_wasm_host::{Action, CallError, Effect, Plugin, StreamBuffer, StreamMap};

const AUTHORITY: &str = "gateway.invalid";

const REQUEST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":path", "/"),
    (":scheme", "http"),
    (":authority", AUTHORITY),
    ("user-agent", "gateway"),
    ("accept", "*/*"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-proto", "http"),
    ("x-request-id", "00000000-0000-4000-8000-000000000000"),
];

const RESPONSE: &[(&str, &str)] =
    &[(":status", "200"), ("content-type", "text/plain"), ("content-length", "3")];

const BODY: &[u8] = b"ok\n";

/// What real requests have, and a filter may rely on.
fn properties() -> Vec<(&'static str, Vec<u8>)> {
    let text = |name: &'static str, value: &str| (name, value.as_bytes().to_vec());
    let number = |name: &'static str, value: i64| (name, value.to_le_bytes().to_vec());
    vec![
        text("request.path", "/"),
        text("request.url_path", "/"),
        text("request.host", AUTHORITY),
        text("request.scheme", "http"),
        text("request.method", "GET"),
        text("request.protocol", "HTTP/1.1"),
        text("request.query", ""),
        text("request.useragent", "gateway"),
        text("request.id", "00000000-0000-4000-8000-000000000000"),
        number("request.size", 0),
        number("request.total_size", 0),
        number("request.time", 0),
        number("request.duration", 0),
        number("response.code", 200),
        number("response.size", 0),
        number("response.total_size", 0),
        number("response.flags", 0),
        text("source.address", "127.0.0.1:49152"),
        number("source.port", 49_152),
        text("destination.address", "127.0.0.1:80"),
        number("destination.port", 80),
        text("upstream.address", "127.0.0.1:8080"),
        number("upstream.port", 8_080),
        ("connection.mtls", vec![0]),
        number("connection.id", 1),
        number("listener_direction", 1),
        text("cluster_name", "gateway"),
        text("route_name", "gateway"),
    ]
}

/// Sends the request through all callbacks, as far as the filter lets it through.
///
/// # Errors
/// The filter trapped, or used up the budget of a callback.
pub(super) fn rehearse(plugin: &mut Plugin) -> Result<(), CallError> {
    // What start and configure asked for is not of this request.
    while plugin.next_effect().is_some() {}
    let mut stream = FakeStream::with_request_headers(REQUEST);
    stream.properties.extend(properties().into_iter().map(|(name, value)| (name.to_owned(), value)));
    let stream = Rc::new(RefCell::new(stream));
    let id = plugin.create_stream(stream.clone())?;

    let mut goes_on = step(plugin, |plugin| plugin.on_request_headers(id, REQUEST.len(), false))?;
    if goes_on {
        stream.borrow_mut().bodies[StreamBuffer::RequestBody as usize] = Some(Vec::new());
        goes_on = step(plugin, |plugin| plugin.on_request_body(id, 0, false))?;
        stream.borrow_mut().bodies[StreamBuffer::RequestBody as usize] = None;
    }
    if goes_on {
        stream.borrow_mut().set_map(StreamMap::RequestTrailers, &[]);
        goes_on = step(plugin, |plugin| plugin.on_request_trailers(id, 0))?;
    }
    if goes_on {
        stream.borrow_mut().set_map(StreamMap::ResponseHeaders, RESPONSE);
        goes_on = step(plugin, |plugin| plugin.on_response_headers(id, RESPONSE.len(), false))?;
    }
    if goes_on {
        stream.borrow_mut().bodies[StreamBuffer::ResponseBody as usize] = Some(BODY.to_vec());
        goes_on = step(plugin, |plugin| plugin.on_response_body(id, BODY.len(), false))?;
        stream.borrow_mut().bodies[StreamBuffer::ResponseBody as usize] = None;
    }
    if goes_on {
        stream.borrow_mut().set_map(StreamMap::ResponseTrailers, &[]);
        step(plugin, |plugin| plugin.on_response_trailers(id, 0))?;
    }
    plugin.finish_stream(id)
}

/// One callback; whether the request goes on after it. One that waits for something, or has its answer, ends here.
fn step(
    plugin: &mut Plugin,
    callback: impl FnOnce(&mut Plugin) -> Result<Action, CallError>,
) -> Result<bool, CallError> {
    let action = callback(plugin)?;
    let mut goes_on = action == Action::Continue;
    while let Some(effect) = plugin.next_effect() {
        goes_on &= !matches!(effect, Effect::LocalReply { .. });
    }
    Ok(goes_on)
}
