//! One filter of a chain as a body meets it, and what it holds of that body.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::filter::chain::StageInfo;

pub(super) struct Stage {
    pub(super) info: StageInfo,
    pub(super) held: BytesMut,
    /// What is held, as it was before a filter that fails open changed it.
    pub(super) unchanged: Option<BytesMut>,
    pub(super) paused: bool,
    /// What the stage holds ends with the end of the body.
    pub(super) saw_end: bool,
    /// The stage holds the trailers back.
    pub(super) holds_trailers: bool,
    /// Since when the stage holds something.
    pub(super) holds_since: Option<Instant>,
}

impl Stage {
    pub(super) fn new(info: StageInfo) -> Self {
        Self {
            info,
            held: BytesMut::new(),
            unchanged: None,
            paused: false,
            saw_end: false,
            holds_trailers: false,
            holds_since: None,
        }
    }

    /// More of what is held. More than the filter may hold is not kept twice.
    pub(super) fn keep_unchanged(&mut self, more: &[u8]) {
        if let Some(unchanged) = &mut self.unchanged {
            unchanged.extend_from_slice(more);
            if unchanged.len() > self.info.max_held_bytes {
                self.unchanged = None;
            }
        }
    }

    pub(super) fn take_unchanged(&mut self) -> Option<Bytes> {
        self.unchanged.take().map(BytesMut::freeze)
    }
}
