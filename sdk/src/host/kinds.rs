//! Owns the ABI's enumerations (Proxy-Wasm ABI 0.2.1, "Types").

/// A list of headers in the order of the message. Names are lower case.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// `proxy_map_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum MapType {
    /// The head of the request, with `:method`, `:scheme`, `:authority` and `:path`.
    RequestHeaders = 0,
    /// What follows the request's body.
    RequestTrailers = 1,
    /// The head of the response, with `:status`.
    ResponseHeaders = 2,
    /// What follows the response's body.
    ResponseTrailers = 3,
    /// The head of a callout's answer, with `:status`.
    CallHeaders = 6,
    /// What follows the body of a callout's answer.
    CallTrailers = 7,
}

impl std::fmt::Display for MapType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RequestHeaders => "request headers",
            Self::RequestTrailers => "request trailers",
            Self::ResponseHeaders => "response headers",
            Self::ResponseTrailers => "response trailers",
            Self::CallHeaders => "callout headers",
            Self::CallTrailers => "callout trailers",
        })
    }
}

/// `proxy_buffer_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BufferType {
    /// The request's body, in its callback.
    RequestBody = 0,
    /// The response's body, in its callback.
    ResponseBody = 1,
    /// The body of a callout's answer, in its callback.
    CallBody = 4,
    /// The plugin's configuration, while the host configures the plugin.
    PluginConfiguration = 7,
}

/// `proxy_stream_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum StreamType {
    /// The HTTP request.
    Request = 0,
    /// The HTTP response.
    Response = 1,
}

/// `proxy_metric_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MetricType {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// A distribution.
    Histogram = 2,
}

/// `proxy_log_level_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// Each step.
    Trace = 0,
    /// For the author.
    Debug = 1,
    /// For the operator, in normal operation.
    Info = 2,
    /// Something to look at.
    Warn = 3,
    /// Something failed.
    Error = 4,
    /// The filter cannot go on.
    Critical = 5,
}

impl LogLevel {
    /// `None` for a number that the ABI does not list.
    pub const fn from_number(level: u32) -> Option<Self> {
        Some(match level {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return None,
        })
    }
}
