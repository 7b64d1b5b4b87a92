//! Where access lines go, and how they look.

use std::path::PathBuf;
use std::sync::Arc;

/// Where and how access lines are written.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct AccessLog {
    /// Where lines go.
    pub to: AccessLogTarget,
    /// How a line looks.
    pub format: AccessLogFormat,
}

/// Where access lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessLogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

/// How an access line looks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessLogFormat {
    /// One line of text in the field order that Envoy users know.
    Text,
    /// One JSON object per line.
    Json,
    /// A line of text of the operator's own.
    TextTemplate(LogTemplate),
    /// A JSON object of the operator's own: keys in the order written.
    JsonTemplate(Vec<(Arc<str>, LogTemplate)>),
}

/// Text with command operators in it, as Envoy writes them: `%REQ(:METHOD)% took %DURATION% ms`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogTemplate {
    /// In the order written; no two texts next to each other.
    pub pieces: Vec<LogPiece>,
}

/// A part of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogPiece {
    /// Written as it is; printable.
    Text(Arc<str>),
    /// What this request has to say.
    Operator(LogOperator),
}

/// A command operator. Names and meanings are Envoy's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogOperator {
    /// `START_TIME`, or `START_TIME(%s.%3f)`; without a format RFC 3339 with milliseconds.
    StartTime(Option<Vec<TimePiece>>),
    /// `REQ(X?Y):Z`
    RequestHeader(LoggedHeader),
    /// `RESP(X?Y):Z`
    ResponseHeader(LoggedHeader),
    /// `TRAILER(X?Y):Z`
    ResponseTrailer(LoggedHeader),
    /// `FILTER_STATE(X):Z`
    FilterState(LoggedState),
    /// An operator without arguments.
    Fact(LogFact),
}

/// A header in a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedHeader {
    /// In lower case; begins with `:` for a pseudo-header.
    pub name: Arc<str>,
    /// Used where that is missing.
    pub alternative: Option<Arc<str>>,
    /// Longer values are cut off.
    pub max_bytes: Option<usize>,
}

/// A property that a filter set, in a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedState {
    /// `wasm.` and its path with segments joined by dots, or the name given to `set_envoy_filter_state`.
    pub name: Arc<str>,
    /// Longer values are cut off.
    pub max_bytes: Option<usize>,
}

/// A part of a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TimePiece {
    /// Written as it is.
    Text(Arc<str>),
    /// `%3f`: this many digits after the second, 1 to 9.
    Fraction(usize),
    /// What `strftime` writes for this letter, in UTC and English; one of [`TIME_LETTERS`].
    Letter(char),
}

/// The conversions of `strftime` that a time may have.
pub const TIME_LETTERS: &str = "aAbBdeDFHIjmMpRsSTyYzZ";

macro_rules! log_facts {
    ($( $variant:ident $name:literal $docs:literal, )+) => {
        /// Operators without arguments.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum LogFact { $( #[doc = concat!("`", $name, "`: ", $docs)] $variant, )+ }

        impl LogFact {
            /// Each with its name.
            pub const ALL: &'static [(&'static str, Self)] = &[$( ($name, Self::$variant), )+];
        }
    };
}

log_facts! {
    Protocol "PROTOCOL" "`HTTP/1.1` and the like.",
    ResponseCode "RESPONSE_CODE" "Status; 0 if none was sent.",
    ResponseCodeDetails "RESPONSE_CODE_DETAILS" "Reason code, or `via_upstream`.",
    ResponseFlags "RESPONSE_FLAGS" "Short flag.",
    ResponseFlagsLong "RESPONSE_FLAGS_LONG" "Flag in full.",
    BytesReceived "BYTES_RECEIVED" "Request body, in bytes.",
    BytesSent "BYTES_SENT" "Response body, in bytes, as it left.",
    Duration "DURATION" "From the request's head to the last byte of the response, in milliseconds.",
    RequestDuration "REQUEST_DURATION" "From the request's head to its last byte, in milliseconds.",
    ResponseDuration "RESPONSE_DURATION" "From the request's head to the upstream's response head, in milliseconds.",
    ResponseTxDuration "RESPONSE_TX_DURATION" "From the upstream's response head to the last byte of the response, in milliseconds.",
    UpstreamHost "UPSTREAM_HOST" "Address and port of the endpoint that answered.",
    UpstreamRemoteAddress "UPSTREAM_REMOTE_ADDRESS" "The same.",
    UpstreamRemoteAddressWithoutPort "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" "Its address.",
    UpstreamRemotePort "UPSTREAM_REMOTE_PORT" "Its port.",
    UpstreamRequestAttemptCount "UPSTREAM_REQUEST_ATTEMPT_COUNT" "How often the request was sent to the upstream.",
    UpstreamCluster "UPSTREAM_CLUSTER" "Name of the upstream.",
    UpstreamClusterRaw "UPSTREAM_CLUSTER_RAW" "The same.",
    UpstreamTransportFailureReason "UPSTREAM_TRANSPORT_FAILURE_REASON" "Why there was no connection.",
    RouteName "ROUTE_NAME" "Name of the route.",
    DownstreamRemoteAddress "DOWNSTREAM_REMOTE_ADDRESS" "Address and port of the client.",
    DownstreamRemoteAddressWithoutPort "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" "Its address.",
    DownstreamRemotePort "DOWNSTREAM_REMOTE_PORT" "Its port.",
    DownstreamDirectRemoteAddress "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" "Address and port of who connects: a proxy, if there is one in front.",
    DownstreamDirectRemoteAddressWithoutPort "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" "Its address.",
    DownstreamLocalAddress "DOWNSTREAM_LOCAL_ADDRESS" "Address and port of the gateway's end.",
    DownstreamLocalAddressWithoutPort "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" "Its address.",
    DownstreamLocalPort "DOWNSTREAM_LOCAL_PORT" "Its port.",
    DownstreamPeerSubject "DOWNSTREAM_PEER_SUBJECT" "Subject of the client's certificate.",
    DownstreamPeerUriSan "DOWNSTREAM_PEER_URI_SAN" "First URI of the client's certificate.",
    DownstreamTlsVersion "DOWNSTREAM_TLS_VERSION" "`TLSv1.3` and the like.",
    RequestedServerName "REQUESTED_SERVER_NAME" "The name that the client asked for in its handshake.",
    ConnectionId "CONNECTION_ID" "Number of the client's connection.",
}
