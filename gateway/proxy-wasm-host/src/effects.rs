//! What a guest asked for and the embedder carries out after the callback: the guest is never re-entered, so nothing
//! here has happened yet when the callback returns.

use std::collections::VecDeque;
use std::time::Duration;

use crate::abi::{CallToken, ContextId, Direction};

/// Header lines in order; names in lower case.
pub type HeaderList = Vec<(Vec<u8>, Vec<u8>)>;

/// One wish of the guest. Whether it still makes sense (the stream may be past that point) is the embedder's to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Let a paused direction go on; harmless if it is not paused.
    Resume {
        /// The stream meant.
        stream: ContextId,
        /// The direction meant.
        direction: Direction,
    },
    /// Reset the stream without a reply.
    Close {
        /// The stream meant.
        stream: ContextId,
        /// The direction the guest named; either ends the stream.
        direction: Direction,
    },
    /// Give up on the stream: whoever operates the filter has said what follows. At most one per stream and callback.
    Fail {
        /// The stream meant.
        stream: ContextId,
        /// Why, in the filter's words; cut after [`FAILURE_BYTES`](crate::limits::FAILURE_BYTES).
        reason: Vec<u8>,
    },
    /// Answer in place of the upstream. At most one per stream and callback.
    LocalReply {
        /// The stream to answer.
        stream: ContextId,
        /// The answer.
        reply: LocalReply,
    },
    /// Start a callout; it ends with exactly one
    /// [`on_http_call_response`](crate::Plugin::on_http_call_response).
    HttpCall {
        /// Names the callout in the answer.
        token: CallToken,
        /// The stream that was in effect; `None` for the plugin itself. Its end does not cancel the callout.
        stream: Option<ContextId>,
        /// What to send where.
        call: HttpCall,
    },
    /// Call [`on_tick`](crate::Plugin::on_tick) at this period; `None` stops it. The last one counts.
    TickPeriod(Option<Duration>),
    /// The plugin finished its work after [`shutdown`](crate::Plugin::shutdown) and may be dropped.
    Done,
}

/// A reply made by the filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalReply {
    /// 200 to 599.
    pub status: u16,
    /// A word for logs, not for the client.
    pub details: Vec<u8>,
    /// The body as the guest gave it.
    pub body: Vec<u8>,
    /// Extra lines without pseudo-headers; legal, as [`Services::check_headers`](crate::Services::check_headers) says.
    pub headers: HeaderList,
    /// The `grpc-status` to use when the request was gRPC.
    pub grpc_status: Option<u32>,
}

/// A request the filter wants to send. `:method`, `:path` and `:authority` are there; all is legal, as
/// [`Services::check_headers`](crate::Services::check_headers) says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpCall {
    /// A name the plugin is allowed to call and [`Services::knows_upstream`](crate::Services::knows_upstream) knows.
    pub upstream: String,
    /// Pseudo-headers and headers.
    pub headers: HeaderList,
    /// The whole body; may be empty.
    pub body: Vec<u8>,
    /// May be empty.
    pub trailers: HeaderList,
    /// `None` waits as long as the embedder allows.
    pub timeout: Option<Duration>,
}

/// How a callout ended. Failures that HTTP can express are answers too: 503 for a refused connection, 504 for a timeout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallAnswer {
    /// `:status` first.
    pub headers: HeaderList,
    /// The whole body.
    pub body: Vec<u8>,
    /// May be empty.
    pub trailers: HeaderList,
}

impl CallAnswer {
    /// The callout was reset or cancelled: no headers, and `proxy_get_status` answers 11 "reset".
    pub fn aborted() -> Self {
        Self::default()
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.headers.is_empty()
    }
}

/// Effects in the order they were asked for, with the bytes of queued replies counted.
#[derive(Clone, Default)]
pub(crate) struct EffectQueue {
    queue: VecDeque<Effect>,
    reply_bytes: usize,
}

impl EffectQueue {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.reply_bytes += reply_bytes(&effect);
        self.queue.push_back(effect);
    }

    pub(crate) fn pop(&mut self) -> Option<Effect> {
        let effect = self.queue.pop_front()?;
        self.reply_bytes -= reply_bytes(&effect);
        Some(effect)
    }

    /// Only the last period counts, and a guest that sets it in a loop must not grow the queue.
    pub(crate) fn set_tick_period(&mut self, period: Option<Duration>) {
        self.queue.retain(|effect| !matches!(effect, Effect::TickPeriod(_)));
        self.queue.push_back(Effect::TickPeriod(period));
    }

    pub(crate) fn queued_reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.reply_bytes = 0;
    }
}

impl LocalReply {
    pub(crate) fn size_bytes(&self) -> usize {
        self.details.len() + self.body.len() + list_bytes(&self.headers)
    }
}

impl HttpCall {
    pub(crate) fn size_bytes(&self) -> usize {
        self.body.len() + list_bytes(&self.headers) + list_bytes(&self.trailers)
    }
}

fn reply_bytes(effect: &Effect) -> usize {
    match effect {
        Effect::LocalReply { reply, .. } => reply.size_bytes(),
        _ => 0,
    }
}

fn list_bytes(list: &[(Vec<u8>, Vec<u8>)]) -> usize {
    list.iter().map(|(name, value)| name.len() + value.len()).sum()
}
