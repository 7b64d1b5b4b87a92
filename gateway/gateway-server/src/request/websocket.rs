//! What HTTP/1.1 has beyond HTTP/2 in a WebSocket handshake: a key, and the proof that it was read as one (RFC 6455,
//! section 4.2.2; RFC 8441, section 5.1, leaves both out).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use http::HeaderValue;
use uuid::Uuid;

/// Joined to every key, so that no other kind of server gives the same proof.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A new `sec-websocket-key`, and the `sec-websocket-accept` that proves it was understood.
///
/// The key is no secret: it tells a WebSocket server from one that echoes what it does not know.
pub(super) fn challenge() -> (HeaderValue, HeaderValue) {
    let key = base64(Uuid::new_v4().as_bytes());
    (header(&key), header(&proof(&key)))
}

fn proof(key: &str) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()).as_ref())
}

fn header(text: &str) -> HeaderValue {
    // Base64 is all legal in a header; the fallback keeps this total.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
