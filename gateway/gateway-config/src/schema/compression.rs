//! What users write about compressed responses.

use super::{KIB, MIB};
use crate::read::{List, section};
use crate::resolved::{Coding, MediaRange};
use crate::values::{OneOf, Size, Word};

pub(crate) type SmallestBytes = Size<0, { 1024 * MIB }>;
/// Smaller ones fit a packet as they are.
pub(crate) const DEFAULT_SMALLEST_BYTES: u64 = KIB;

section! {
    /// Which responses are compressed for clients that accept it; `{}` is enough.
    Compression {
        /// Any of `zstd`, `br` and `gzip`; where a client likes several equally, the first one. Default: all, in this order.
        optional "algorithms" algorithms: List<OneOf<Coding>>,
        /// Responses that are known to be smaller stay as they are. Default: 1KiB.
        optional "minBytes" min_bytes: SmallestBytes,
        /// Content types, such as `application/json` or `text/*`. Default: text, JSON, XML, JavaScript, SVG, WebAssembly.
        optional "types" types: List<MediaRange>,
    }
}

impl Word for Coding {
    const WORDS: &'static [(&'static str, Self)] =
        &[("zstd", Self::Zstd), ("br", Self::Brotli), ("gzip", Self::Gzip)];
}
