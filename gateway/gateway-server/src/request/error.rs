//! What can go wrong with a request, as one type for the whole data path.
//!
//! Every module has its own error enum; each is mapped here once. Status, log field, metric label and the question
//! "may it be sent again?" all follow from the reason, so that they cannot disagree.

use gateway_wire::Refusal;
use http::StatusCode;

use crate::body::BodyError;
use crate::route::rewrite::Unfit;

/// A request that could not be served as asked. Becomes exactly one reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestError {
    /// Whose doing it is.
    pub(crate) blame: Blame,
    /// Whether the same request may be sent once more.
    pub(crate) retry: Retry,
    /// What happened.
    pub(crate) reason: Reason,
    /// What the client gets instead of the reason's own status.
    status: Option<StatusCode>,
}

/// Who has to act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blame {
    Client,
    Gateway,
    Filter,
    Upstream,
}

/// Whether sending again could repeat an effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Retry {
    /// The upstream may have acted on it.
    Never,
    /// The upstream has not seen it.
    Safe,
}

/// Why the gateway itself answered, or gave up. The code is stable: it appears in logs and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Reason {
    /// The route says what to answer.
    DirectResponse,
    /// The route sends the client elsewhere.
    Redirect,
    /// The route answers CORS preflights.
    CorsPreflight,
    /// A filter answered.
    FilterReply,
    BadRequest,
    /// The connection did not begin as a proxy in front has to begin it.
    ProxyProtocol,
    /// What the client sent has no one meaning.
    Refused(Refusal),
    HeadTooLarge,
    UriTooLong,
    /// The path, or what a rewrite made of it, has no canonical form.
    BadPath,
    HeadTimeout,
    /// The client took nothing of its response for too long.
    WriteTimeout,
    /// Too many frames of HTTP/2 that serve no request.
    Http2Flood,
    /// The connection was made for other hosts.
    Misdirected,
    /// The route does not allow the protocol, and without it there is nothing to serve.
    UpgradeRefused,
    /// An upgraded connection carried nothing for too long.
    UpgradeIdle,
    BodyTimeout,
    BodyTooLarge,
    NoRoute,
    NoHealthyEndpoint,
    /// A limit of the upstream is reached.
    UpstreamOverflow,
    ConnectFailed,
    ConnectTimeout,
    UpstreamTls,
    UpstreamReset,
    UpstreamProtocol,
    /// What the upstream sent has no one meaning.
    UpstreamRefused(Refusal),
    RouteTimeout,
    /// The client of a gRPC call gave it less time than it took.
    GrpcDeadline,
    PerTryTimeout,
    FilterTrap,
    FilterDeadline,
    /// A filter failed when it asked for more memory than it may have.
    FilterMemory,
    /// A filter failed the stream, and nothing else.
    FilterFailed,
    /// A filter used up its CPU time of all workers.
    FilterShed,
    /// A filter fails too often to be called.
    FilterQuarantined,
    FilterNotLive,
    FilterClosed,
    FilterPauseTimeout,
    FilterBodyLength,
    ResponseBodyTooLarge,
    CompressionFailed,
    ClientClosed,
    DrainTimeout,
    /// The gateway panicked.
    InternalError,
}

impl Reason {
    /// Code, Envoy's response flag, status, explanation for the client.
    const fn facts(self) -> (&'static str, &'static str, u16, &'static str) {
        match self {
            Self::DirectResponse => ("direct_response", "-", 200, ""),
            Self::Redirect => ("redirect", "-", 302, ""),
            Self::CorsPreflight => ("cors_preflight", "-", 204, ""),
            Self::FilterReply => ("filter_reply", "-", 200, ""),
            Self::BadRequest => ("bad_request", "DPE", 400, "the request is malformed\n"),
            // Nobody is told: what the connection would carry is not known.
            Self::ProxyProtocol => ("proxy_protocol", "DPE", 400, ""),
            Self::Refused(Refusal::TransferCoding) => (
                Refusal::TransferCoding.word(),
                "DPE",
                501,
                "the request body has a coding that is not spoken here\n",
            ),
            Self::Refused(refusal) => {
                (refusal.word(), "DPE", 400, "the request is malformed or could be read in two ways\n")
            }
            Self::UpstreamRefused(refusal) => {
                (refusal.upstream_word(), "UPE", 502, "the upstream sent an invalid response\n")
            }
            Self::HeadTooLarge => ("head_too_large", "DPE", 431, "the request head is too large\n"),
            Self::UriTooLong => ("uri_too_long", "DPE", 414, "the request target is too long\n"),
            Self::BadPath => ("bad_path", "DPE", 400, "the path has no canonical form\n"),
            Self::HeadTimeout => ("head_timeout", "DT", 408, "the request head took too long\n"),
            // The head is gone by then.
            Self::WriteTimeout => ("write_timeout", "DT", 408, ""),
            // The connection is told to go away, not a request.
            Self::Http2Flood => ("http2_flood", "DPE", 429, ""),
            Self::Misdirected => {
                ("misdirected", "-", 421, "this connection is not for this host: open another one\n")
            }
            Self::UpgradeRefused => {
                ("upgrade_refused", "DPE", 501, "this route does not speak that protocol\n")
            }
            // The client has its 101 by then.
            Self::UpgradeIdle => ("upgrade_idle", "SI", 408, ""),
            Self::BodyTimeout => ("body_timeout", "DT", 408, "the request body took too long\n"),
            Self::BodyTooLarge => ("body_too_large", "DPE", 413, "the request body is too large\n"),
            Self::NoRoute => ("no_route", "NR", 404, "no route for this request\n"),
            Self::NoHealthyEndpoint => {
                ("no_healthy_endpoint", "UH", 503, "no upstream endpoint is available\n")
            }
            Self::UpstreamOverflow => {
                ("upstream_overflow", "UO", 503, "the upstream has enough to do: try again later\n")
            }
            Self::ConnectFailed => ("connect_failed", "UF", 502, "the upstream refused the connection\n"),
            Self::ConnectTimeout => {
                ("connect_timeout", "UF", 504, "the upstream could not be reached in time\n")
            }
            Self::UpstreamTls => {
                ("upstream_tls", "UF", 502, "no secure connection to the upstream could be made\n")
            }
            Self::UpstreamReset => ("upstream_reset", "UC", 502, "the upstream closed the connection\n"),
            Self::UpstreamProtocol => {
                ("upstream_protocol", "UPE", 502, "the upstream sent an invalid response\n")
            }
            Self::RouteTimeout => ("route_timeout", "UT", 504, "the upstream took too long\n"),
            Self::GrpcDeadline => ("grpc_deadline", "UT", 504, "the deadline of the call has passed\n"),
            Self::PerTryTimeout => ("per_try_timeout", "UT", 504, "the upstream took too long\n"),
            Self::FilterTrap => ("filter_trap", "FI", 503, "a filter failed\n"),
            Self::FilterDeadline => ("filter_deadline", "FI", 503, "a filter ran out of its budget\n"),
            Self::FilterMemory => ("filter_memory", "FI", 503, "a filter ran out of memory\n"),
            Self::FilterFailed => ("filter_failed", "FI", 503, "a filter could not decide\n"),
            Self::FilterShed => ("filter_shed", "FI", 503, "a filter has enough to do: try again later\n"),
            Self::FilterQuarantined => {
                ("filter_quarantined", "FI", 503, "a filter of this route is not available\n")
            }
            Self::FilterNotLive => {
                ("filter_not_live", "FI", 503, "a filter of this route is not available\n")
            }
            Self::FilterClosed => ("filter_closed", "FI", 503, "a filter closed the stream\n"),
            Self::FilterPauseTimeout => {
                ("filter_pause_timeout", "FI", 504, "a filter held the request for too long\n")
            }
            Self::FilterBodyLength => ("filter_body_length", "FI", 503, "a filter broke the body length\n"),
            Self::ResponseBodyTooLarge => {
                ("response_body_too_large", "FI", 502, "the response is too large for a filter to hold\n")
            }
            // The head is gone by then: the client sees a message without its end.
            Self::CompressionFailed => ("compression_failed", "-", 500, ""),
            // Mostly nobody is left to get it.
            Self::ClientClosed => ("client_closed", "DC", 400, ""),
            Self::DrainTimeout => ("drain_timeout", "-", 503, ""),
            Self::InternalError => ("internal_error", "-", 500, "the gateway failed at this request\n"),
        }
    }

    /// Of a refused request.
    pub(crate) const fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::HeadTooLarge | Refusal::TooManyHeaders => Self::HeadTooLarge,
            refusal => Self::Refused(refusal),
        }
    }

    /// Whether a filter's failure policy answers.
    pub(crate) const fn is_filter_failure(self) -> bool {
        matches!(
            self,
            Self::FilterTrap
                | Self::FilterDeadline
                | Self::FilterMemory
                | Self::FilterFailed
                | Self::FilterShed
                | Self::FilterQuarantined
                | Self::FilterNotLive
        )
    }

    /// Whether the rest of the request body will not come, or is not what it should be.
    pub(crate) const fn blames_body(self) -> bool {
        matches!(self, Self::BadRequest | Self::Refused(_) | Self::BodyTimeout | Self::ClientClosed)
    }

    /// The stable code for logs and metrics.
    pub(crate) const fn code(self) -> &'static str {
        self.facts().0
    }

    /// The response flag as Envoy names it; `-` where it has none.
    pub(crate) const fn flag(self) -> &'static str {
        self.facts().1
    }

    /// The response flag in full, as Envoy's `%RESPONSE_FLAGS_LONG%`.
    pub(crate) const fn flag_long(self) -> &'static str {
        match self.flag().as_bytes() {
            b"DC" => "DownstreamConnectionTermination",
            b"DPE" => "DownstreamProtocolError",
            b"DT" => "DurationTimeout",
            b"FI" => "FaultInjected",
            b"NR" => "NoRouteFound",
            b"UC" => "UpstreamConnectionTermination",
            b"UF" => "UpstreamConnectionFailure",
            b"UH" => "NoHealthyUpstream",
            b"UO" => "UpstreamOverflow",
            b"UPE" => "UpstreamProtocolError",
            b"URX" => "UpstreamRetryLimitExceeded",
            b"UT" => "UpstreamRequestTimeout",
            _ => "-",
        }
    }

    /// What the client gets.
    pub(crate) fn status(self) -> StatusCode {
        // All numbers in `facts` are valid; the fallback keeps this total.
        StatusCode::from_u16(self.facts().2).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// One line for the client.
    pub(crate) const fn explanation(self) -> &'static str {
        self.facts().3
    }
}

impl RequestError {
    /// The client has to act.
    pub(crate) const fn client(reason: Reason) -> Self {
        Self { blame: Blame::Client, retry: Retry::Never, reason, status: None }
    }

    /// The gateway or its operator has to act.
    pub(crate) const fn gateway(reason: Reason) -> Self {
        Self { blame: Blame::Gateway, retry: Retry::Never, reason, status: None }
    }

    /// What a rewrite made of a path is nothing to ask for.
    pub(crate) const fn rewrite(unfit: Unfit) -> Self {
        Self::client(match unfit {
            Unfit::TooLong => Reason::UriTooLong,
            Unfit::NotCanonical => Reason::BadPath,
        })
    }

    /// A filter's author has to act.
    pub(crate) const fn filter(reason: Reason) -> Self {
        Self { blame: Blame::Filter, retry: Retry::Never, reason, status: None }
    }

    /// The same with a status that the operator chose.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status: StatusCode::from_u16(status).ok(), ..self }
    }

    /// The status that the operator chose.
    pub(crate) const fn own_status(&self) -> Option<StatusCode> {
        self.status
    }

    /// A request body that stopped before its end.
    pub(crate) fn upload(error: &BodyError) -> Self {
        Self::upload_stopped(error.upload_reason())
    }

    /// The same by its reason.
    pub(crate) fn upload_stopped(reason: Reason) -> Self {
        match reason {
            reason @ (Reason::BadRequest
            | Reason::Refused(_)
            | Reason::ClientClosed
            | Reason::BodyTooLarge
            | Reason::BodyTimeout) => Self::client(reason),
            Reason::InternalError => Self::gateway(reason),
            reason => Self::filter(reason),
        }
    }

    /// The upstream has to act, and may have acted on the request.
    pub(crate) const fn upstream(reason: Reason) -> Self {
        Self { blame: Blame::Upstream, retry: Retry::Never, reason, status: None }
    }

    /// The upstream has to act, and has not seen the request.
    pub(crate) const fn upstream_unseen(reason: Reason) -> Self {
        Self { blame: Blame::Upstream, retry: Retry::Safe, reason, status: None }
    }
}
