//! The words of the Proxy-Wasm ABI as plain types: status codes, map and buffer numbers, actions.
//!
//! Source: the Proxy-Wasm ABI specification 0.2.1 and, where real hosts differ from it, what Envoy 1.40 does.

/// Names a plugin (root) or stream context inside one VM. Never zero, never reused while alive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ContextId(pub u32);

/// Names one HTTP callout of one VM. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CallToken(pub u32);

/// Why a host call did not succeed; the number is what the guest sees. `Ok` is not an error and has no variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Status {
    /// The key, property, queue or metric does not exist.
    NotFound = 1,
    /// An argument is outside of what the function takes, or the thing is not available in this phase.
    BadArgument = 2,
    /// The value exists but has no wire form.
    SerializationFailure = 3,
    /// The bytes given do not parse.
    ParseFailure = 4,
    /// A pointer or length reaches outside guest memory, or the guest's allocator failed.
    InvalidMemoryAccess = 6,
    /// The queue is empty.
    Empty = 7,
    /// Compare-and-swap found another version.
    CasMismatch = 8,
    /// The host refuses: no authority for it, a limit is reached, or it failed inside.
    InternalFailure = 10,
    /// This host does not offer it.
    Unimplemented = 12,
}

/// Which way a message travels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// From the upstream (or a local reply) to the client.
    Response,
}

/// What a stream callback returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Go on to the next filter.
    Continue,
    /// Hold this direction until the guest resumes it.
    Pause,
}

/// Header maps that belong to a stream. Maps of callout answers never leave the host crate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum StreamMap {
    /// Request headers, pseudo-headers first.
    RequestHeaders = 0,
    /// Request trailers.
    RequestTrailers = 1,
    /// Response headers, `:status` first.
    ResponseHeaders = 2,
    /// Response trailers.
    ResponseTrailers = 3,
}

/// Body buffers that belong to a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum StreamBuffer {
    /// The request body bytes of the current callback.
    RequestBody = 0,
    /// The response body bytes of the current callback.
    ResponseBody = 1,
}

/// Severity of a guest's log line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum LogLevel {
    /// Finest.
    Trace = 0,
    /// For the filter's author.
    Debug = 1,
    /// Normal operation.
    Info = 2,
    /// Something is off.
    Warn = 3,
    /// Something failed.
    Error = 4,
    /// The filter cannot go on.
    Critical = 5,
}

/// The three kinds of metric a guest may define.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum MetricKind {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Distribution of recorded values.
    Histogram = 2,
}

/// Which version of the ABI a module says it was built for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum AbiVersion {
    /// `proxy_abi_version_0_1_0`
    V0_1_0,
    /// `proxy_abi_version_0_2_0`
    V0_2_0,
    /// `proxy_abi_version_0_2_1`
    V0_2_1,
}

impl std::fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        })
    }
}
