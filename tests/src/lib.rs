//! The harness of the behaviour tests: an origin that records every byte, clients that never retry, and a gateway between
//! them that runs in this process.
//!
//! What passes through the gateway is counted on the independent side: the origin and the clients here share no code with
//! the gateway. The HTTP/1.1 side is plain sockets; only the HTTP/2 client is hyper's, streams are h2's, and TLS is rustls's.
#![forbid(unsafe_code)]

mod admin;
pub mod bombs;
mod client;
mod eventually;
pub mod fuzzed;
mod gateway;
mod http2;
mod http2_call;
mod http2_frames;
mod http2_origin;
mod http2_raw;
mod metrics;
pub mod mortal;
pub mod namespaces;
mod origin;
pub mod raw_frames;
mod request;
mod script;
mod switcher;
mod tls;
pub mod versions;
pub mod wasm;
mod wire;

pub use client::{Client, Response};
pub use eventually::{LIMIT, eventually, eventually_some, pause};
pub use gateway::{FilterStatus, Gateway, Setup};
pub use http2::{Http2, Http2Socket};
pub use http2_call::{Call, Caller};
pub use http2_frames::{FrameOrigin, Manner};
pub use http2_origin::{Http2Origin, StreamHead};
pub use http2_raw::{Http2Raw, Outcome};
pub use metrics::Metrics;
pub use origin::{Origin, Received, RefusingAddress};
pub use request::Request;
pub use script::{Answer, Gate};
pub use switcher::{Switcher, Switching, websocket_accept};
pub use tls::{Authority, Facts, Pair, TlsClient, TlsFront, Tunnel};
pub use wire::Headers;

/// Bytes without a pattern, the same on every run: no compression, no accidental match of a shifted copy.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
