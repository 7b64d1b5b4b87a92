//! Owns what can go wrong while a filter runs: the status codes of the ABI, and the error that a filter's own
//! callbacks return. Configuration errors are in [`mod@crate::config`].

use std::time::Duration;

use crate::config::ConfigError;
use crate::crypto::CryptoError;
use crate::host::MapType;

/// A host call was answered with something other than OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host call {call} failed: {status}")]
pub struct HostError {
    /// The ABI's name of the call, such as `proxy_get_property`.
    pub call: &'static str,
    /// What the host answered.
    pub status: Status,
}

impl HostError {
    pub(crate) const fn new(call: &'static str, status: Status) -> Self {
        Self { call, status }
    }
}

/// The status codes of Proxy-Wasm ABI 0.2.1 (`proxy_status_t`) other than OK, and those that hosts add to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Status {
    /// 1: no such entry.
    #[error("not found (status 1)")]
    NotFound,
    /// 2: an argument is wrong, or the map or buffer is not available in this callback.
    #[error("bad argument, or not available in this callback (status 2)")]
    BadArgument,
    /// 3: the value exists but has no byte form.
    #[error("serialization failure (status 3)")]
    SerializationFailure,
    /// 4: the host could not parse what it was given, or the filter what the host gave.
    #[error("parse failure (status 4)")]
    ParseFailure,
    /// 5: an expression is wrong.
    #[error("bad expression (status 5)")]
    BadExpression,
    /// 6: a pointer lies outside of the filter's memory.
    #[error("invalid memory access (status 6)")]
    InvalidMemoryAccess,
    /// 7: the queue is empty.
    #[error("empty (status 7)")]
    Empty,
    /// 8: the shared value changed in the meantime.
    #[error("compare-and-swap mismatch (status 8)")]
    CasMismatch,
    /// 9: a result of another kind than asked for.
    #[error("result mismatch (status 9)")]
    ResultMismatch,
    /// 10: the host failed, or the filter is not allowed to make this call.
    #[error("internal failure, or the host does not allow this filter the call (status 10)")]
    InternalFailure,
    /// 11: the connection broke.
    #[error("broken connection (status 11)")]
    BrokenConnection,
    /// 12: the host does not have this function.
    #[error("not implemented by this host (status 12)")]
    Unimplemented,
    /// A code that the ABI does not list.
    #[error("unknown status {0}")]
    Other(u32),
}

impl Status {
    /// `None` is OK.
    pub(crate) const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::NotFound,
            2 => Self::BadArgument,
            3 => Self::SerializationFailure,
            4 => Self::ParseFailure,
            5 => Self::BadExpression,
            6 => Self::InvalidMemoryAccess,
            7 => Self::Empty,
            8 => Self::CasMismatch,
            9 => Self::ResultMismatch,
            10 => Self::InternalFailure,
            11 => Self::BrokenConnection,
            12 => Self::Unimplemented,
            other => Self::Other(other),
        })
    }

    /// The number that crosses the ABI.
    pub const fn code(self) -> u32 {
        match self {
            Self::NotFound => 1,
            Self::BadArgument => 2,
            Self::SerializationFailure => 3,
            Self::ParseFailure => 4,
            Self::BadExpression => 5,
            Self::InvalidMemoryAccess => 6,
            Self::Empty => 7,
            Self::CasMismatch => 8,
            Self::ResultMismatch => 9,
            Self::InternalFailure => 10,
            Self::BrokenConnection => 11,
            Self::Unimplemented => 12,
            Self::Other(code) => code,
        }
    }
}

/// Why a filter could not decide. [`crate::Filter::on_error`] turns it into a verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The host refused a call.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A peer sent bytes where the filter asked for text.
    #[error("the value of `{name}` in the {map} is not UTF-8; read it with `get` if bytes are acceptable")]
    NotUtf8 {
        /// Where the value was read.
        map: MapType,
        /// The header's name as asked for.
        name: String,
    },
    /// A body could not be read, or not be changed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A callout gave no usable answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A hash or a signature could not be computed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The filter does not accept its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something did not end within its time.
    #[error("not finished within {} ms", crate::context::milliseconds(*.0))]
    TimedOut(Duration),
    /// The filter was still initializing, or its initialization failed.
    #[error("the filter is not initialized; its earlier log lines say why")]
    NotReady,
    /// The filter's own reason.
    #[error("{0}")]
    Failed(String),
}

/// Why a body could not be read, or not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The module has no callback for bodies.
    #[error("the filter does not receive this body; add `{0}` to its `#[filter(...)]`")]
    NotDeclared(&'static str),
    /// It is longer than the filter wants to hold.
    #[error("the body is longer than {limit_bytes} bytes")]
    TooLong {
        /// Whose body.
        map: MapType,
        /// What the filter asked for.
        limit_bytes: usize,
    },
    /// It is not what the filter asked for.
    #[error("the body is not {expected}: {problem}")]
    Malformed {
        /// Whose body.
        map: MapType,
        /// What the filter asked for.
        expected: &'static str,
        /// What is wrong; without the bytes.
        problem: String,
    },
    /// Hosts take a new body only during the callback that brings the old one's end.
    #[error("the body cannot be changed any more; do it before waiting for a callout or a timer")]
    TooLate,
}

/// Why a callout gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The host did not send it.
    #[error("cannot call upstream `{upstream}`: {error}; is it configured, and may this filter call it?")]
    Refused {
        /// Where to.
        upstream: String,
        /// What the host said.
        error: HostError,
    },
    /// What the filter wanted to send is illegal.
    #[error("cannot call upstream `{upstream}`: {problem}")]
    Illegal {
        /// Where to.
        upstream: String,
        /// What is wrong.
        problem: String,
    },
    /// The connection broke before there was an answer.
    #[error("upstream `{upstream}` gave no answer")]
    Reset {
        /// Where to.
        upstream: String,
    },
    /// Another status than asked for. Hosts answer 503 themselves if they cannot connect, and 504 after the timeout.
    #[error("upstream `{upstream}` answered {status}")]
    Status {
        /// Where to.
        upstream: String,
        /// What came.
        status: u16,
    },
    /// The answer is not what the filter asked for.
    #[error("the answer of upstream `{upstream}` is not {expected}: {problem}")]
    Malformed {
        /// Where to.
        upstream: String,
        /// What the filter asked for.
        expected: &'static str,
        /// What is wrong; without the bytes.
        problem: String,
    },
}

/// What the phases of a filter return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The filter's own reason, for the operator: what failed, the value seen, what to do next.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }

    /// The status that answers a peer's own mistake; `None` if neither peer is to blame.
    pub(crate) const fn peer_status(&self) -> Option<u16> {
        match self {
            Self::Body(BodyError::TooLong { map, .. }) if is_request(*map) => Some(413),
            Self::NotUtf8 { map, .. }
            | Self::Body(BodyError::TooLong { map, .. } | BodyError::Malformed { map, .. }) => {
                Some(if is_request(*map) { 400 } else { 502 })
            }
            _ => None,
        }
    }
}

const fn is_request(map: MapType) -> bool {
    matches!(map, MapType::RequestHeaders | MapType::RequestTrailers)
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
