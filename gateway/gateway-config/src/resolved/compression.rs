//! Which responses are compressed, and how.

use std::sync::Arc;

/// Which responses are compressed for clients that accept it.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Compression {
    /// In order of preference; never empty, none twice.
    pub codings: Vec<Coding>,
    /// Responses that are known to be smaller stay as they are.
    pub min_bytes: u64,
    /// The content types that are compressed; never empty.
    pub types: Vec<MediaRange>,
}

/// What a route says about compression.
#[derive(Clone, PartialEq, Debug)]
pub enum RouteCompression {
    /// Nothing: as the listener says.
    OfListener,
    /// None, whatever the listener says.
    Off,
    /// This, whatever the listener says.
    On(Compression),
}

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// `zstd` (RFC 8878).
    Zstd,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
}

/// One content type, or all of a kind. In lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MediaRange {
    /// Exactly this: `application/json`.
    Exact(Arc<str>),
    /// `text/*` is held as `text/`.
    Kind(Arc<str>),
}

impl MediaRange {
    /// Whether a content type without its parameters is meant. The case of letters does not matter.
    pub fn matches(&self, essence: &[u8]) -> bool {
        match self {
            Self::Exact(name) => essence.eq_ignore_ascii_case(name.as_bytes()),
            Self::Kind(kind) => {
                essence.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
            }
        }
    }
}

impl Coding {
    /// As `accept-encoding` and `content-encoding` name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}
