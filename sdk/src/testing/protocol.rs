//! What a test says to whoever runs the filter, and hears from it. The filter runs in the same process, natively, or as a
//! compiled module in a process of its own, to which each [`Op`] goes as one line of JSON and comes back as one
//! [`Answered`].

use serde::{Deserialize, Serialize};

use crate::host::Pairs;

/// The plugin's context.
pub const ROOT: u32 = 1;

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Starts one more worker's instance and configures it. Answered by [`Answered::Done`], or by [`Answered::Refused`].
    Start {
        /// The plugin's configuration.
        configuration: Vec<u8>,
        /// Plugin properties: path segments joined by zero bytes, and value.
        properties: Vec<(Vec<u8>, Vec<u8>)>,
        /// Upstreams that exist and may be called.
        upstreams: Vec<String>,
        /// What both clocks say.
        now_ns: u64,
    },
    /// Sets both clocks.
    SetNow(u64),
    /// Makes a stream; answered by [`Answered::Stream`].
    CreateStream,
    /// Makes a map available, or not.
    SetMap(u32, u32, Option<Pairs>),
    /// Makes a body available, or not.
    SetBody(u32, u32, Option<Vec<u8>>),
    /// Sets a property of a stream.
    SetProperty(u32, Vec<u8>, Vec<u8>),
    /// Has the host refuse a call by name from now on; runs natively alone.
    Refuse(String, u32),
    /// Reads a map; answered by [`Answered::Map`].
    Map(u32, u32),
    /// Reads a body; answered by [`Answered::Bytes`].
    Body(u32, u32),
    /// Reads a shared value; answered by [`Answered::Shared`].
    Shared(Vec<u8>),
    /// Reads all metrics; answered by [`Answered::Metrics`].
    Metrics,
    /// Calls the filter; answered by [`Answered::Called`].
    Call(Callback),
}

/// A callback of the ABI.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Callback {
    /// A head: stream, number of the map, end of stream.
    Headers(u32, u32, bool),
    /// A body: stream, number of the buffer, bytes, end of stream.
    Body(u32, u32, usize, bool),
    /// Trailers: stream, number of the map.
    Trailers(u32, u32),
    /// A callout's answer.
    CallAnswered(u32, Answer),
    /// A tick.
    Tick,
    /// Log, done, delete.
    Finish(u32),
}

/// What came of an [`Op`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answered {
    /// Done.
    Done,
    /// The filter does not accept the configuration, for the reason in the log.
    Refused {
        /// What was logged.
        logs: Vec<(u32, String)>,
    },
    /// A new stream's id.
    Stream(u32),
    /// A map.
    Map(Pairs),
    /// A body.
    Bytes(Vec<u8>),
    /// A shared value.
    Shared(Option<Vec<u8>>),
    /// All metrics by name.
    Metrics(Vec<(String, u64)>),
    /// The filter was called.
    Called {
        /// Whether it holds the message.
        pause: bool,
        /// What it asked for.
        effects: Vec<Effect>,
        /// What it logged.
        logs: Vec<(u32, String)>,
        /// Why it gave no answer: a trap.
        trap: Option<String>,
    },
}

/// What a filter asked its host for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Let a held message go on.
    Resume {
        /// The stream.
        stream: u32,
        /// 0 is the request.
        direction: u32,
    },
    /// Reset the stream.
    Close {
        /// The stream.
        stream: u32,
    },
    /// Have the operator's failure policy applied.
    Fail {
        /// The stream.
        stream: u32,
        /// The filter's words.
        reason: String,
    },
    /// Answer the client.
    Reply {
        /// The stream.
        stream: u32,
        /// The answer.
        reply: SentReply,
    },
    /// Start a callout.
    Call {
        /// Names it in its answer.
        token: u32,
        /// What to send.
        call: SentCall,
    },
    /// Milliseconds between ticks; 0 is none.
    TickPeriod(u32),
}

/// A local reply as it reached the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentReply {
    /// The HTTP status.
    pub status: u32,
    /// The reason for log and metrics.
    pub details: String,
    /// The headers, in order.
    pub headers: Pairs,
    /// The body.
    pub body: Vec<u8>,
}

/// A callout as it reached the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCall {
    /// Where to.
    pub upstream: String,
    /// Pseudo-headers first.
    pub headers: Pairs,
    /// The body.
    pub body: Vec<u8>,
    /// After which the host gives up.
    pub timeout_milliseconds: u64,
}

/// The answer to a callout; no headers at all means that it was reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// `:status` first.
    pub headers: Pairs,
    /// The body.
    pub body: Vec<u8>,
    /// What follows the body.
    pub trailers: Pairs,
}

impl SentCall {
    /// The first value of a header as text; empty if there is none.
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    /// Method and path, such as `POST /check`.
    pub fn target(&self) -> String {
        format!("{} {}", self.header(":method"), self.header(":path"))
    }
}
