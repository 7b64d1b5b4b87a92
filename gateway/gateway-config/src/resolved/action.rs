//! What routes do with a request: where it goes, what is changed on the way, what is answered in its place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Pattern;

/// What happens to a matched request.
#[derive(Clone, PartialEq, Debug)]
pub enum RouteAction {
    /// Sent to one of these upstreams, by weight. At least one weight is above zero.
    Forward(Vec<Destination>),
    /// Answered by the gateway.
    Respond(DirectResponse),
    /// Answered by the gateway with another place to ask at.
    Redirect(Redirect),
}

/// One share of the traffic of a route.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Destination {
    /// Index into [`super::Config::upstreams`].
    pub upstream: usize,
    /// Relative to the other weights of the route. Zero gets nothing.
    pub weight: u32,
    /// Edits of what goes to this upstream, after those of the route.
    pub request_headers: HeaderEdits,
    /// Edits of what comes from this upstream, before those of the route.
    pub response_headers: HeaderEdits,
}

/// A fixed answer.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// May be empty.
    pub body: Arc<[u8]>,
    /// By the ending of the file; `None` for a body without one.
    pub content_type: Option<&'static str>,
    /// The file that the body was read from.
    pub file: Option<PathBuf>,
}

/// Where to ask instead. What is `None` stays as the client wrote it; the query is kept.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Redirect {
    /// Without a port of its own, it also resets the port to its usual one.
    pub scheme: Option<Scheme>,
    /// Lower case, without port.
    pub host: Option<Arc<str>>,
    /// From 1.
    pub port: Option<u16>,
    /// The new path.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// How a client connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As a URL has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL leaves out.
    pub const fn usual_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What the upstream is asked for instead. The query is kept.
#[derive(Clone, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct Rewrite {
    /// The `host` that the upstream sees.
    pub host: Option<Arc<str>>,
    /// The new path.
    pub path: Option<PathRewrite>,
}

/// A new path.
#[derive(Clone, PartialEq, Debug)]
pub enum PathRewrite {
    /// In place of the whole path.
    Full(Arc<str>),
    /// In place of the prefix that matched; without a trailing slash, so that the root is empty.
    Prefix(Arc<str>),
    /// In place of a path that the expression matches; others stay.
    Regex(RegexRewrite),
}

/// A replacement of paths by a regular expression.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct RegexRewrite {
    pub(crate) pattern: Pattern,
    pub(crate) with: Vec<PathPiece>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum PathPiece {
    Text(Arc<str>),
    /// Zero is the whole path.
    Group(usize),
}

impl RegexRewrite {
    /// The new path, or `None` if `path` does not match. A group that took no part is empty. At most `max_bytes` are
    /// made: a longer result is cut there, for the caller to refuse.
    pub fn apply(&self, path: &str, max_bytes: usize) -> Option<Vec<u8>> {
        let groups = self.pattern.captures(path.as_bytes())?;
        let mut rewritten = Vec::with_capacity(path.len());
        for piece in &self.with {
            let bytes = match piece {
                PathPiece::Text(text) => text.as_bytes(),
                PathPiece::Group(group) => groups.get(*group).map_or(&b""[..], |found| found.as_bytes()),
            };
            let room = max_bytes - rewritten.len();
            rewritten.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        Some(rewritten)
    }
}

/// Header edits, applied in this order. Names are lower case and legal, values are legal; framing and hop-by-hop
/// headers cannot be named.
#[derive(Clone, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct HeaderEdits {
    /// Dropped first.
    pub remove: Vec<Arc<str>>,
    /// Then replaced.
    pub set: Vec<(Arc<str>, HeaderTemplate)>,
    /// Then appended.
    pub add: Vec<(Arc<str>, HeaderTemplate)>,
}

/// A header value with variables in it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HeaderTemplate {
    /// Never empty; one text is a value without variables.
    pub pieces: Vec<HeaderPiece>,
}

/// A part of a header value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeaderPiece {
    /// As it is.
    Text(Arc<str>),
    /// What the request has there.
    Variable(Variable),
}

/// What can be said of a request in a header. One that is not known is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variable {
    /// Address of the client's connection.
    ClientIp,
    /// Who the client is by its certificate, as the access log says it.
    DownstreamPeer,
    /// As the client sent it, with port.
    Host,
    /// Name of the listener.
    Listener,
    /// As the client sent it.
    Method,
    /// As the client sent it, without query.
    Path,
    /// As the client sent it, without question mark.
    Query,
    /// The `x-request-id`.
    RequestId,
    /// Name of the route.
    Route,
    /// `http` or `https`.
    Scheme,
    /// Name of the upstream.
    Upstream,
}

/// What scripts of other sites may do (Fetch standard, CORS protocol). The gateway answers preflights itself.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Cors {
    /// Sites whose scripts may read responses; at least one.
    pub origins: Vec<OriginPattern>,
    /// Methods beyond GET, HEAD and POST.
    pub methods: AllowList,
    /// Request headers beyond those that are always allowed.
    pub headers: AllowList,
    /// Response headers that scripts may read, as one header value; empty is none beyond the usual.
    pub expose: Arc<str>,
    /// Whether cookies and other credentials may be sent. Never together with [`OriginPattern::Any`].
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight.
    pub max_age: Option<Duration>,
}

/// A site, as browsers name it in `origin`. Lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OriginPattern {
    /// Every site.
    Any,
    /// Exactly this one.
    Exact(Arc<str>),
    /// `https://*.example.com` is held as `https://` and `.example.com`: one or more labels between them.
    Below {
        /// With `://`.
        scheme: Arc<str>,
        /// With its leading dot, and the port if there is one.
        suffix: Arc<str>,
    },
}

/// What is allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AllowList {
    /// Whatever is asked for.
    Any,
    /// These, as one header value; empty is nothing.
    These(Arc<str>),
}
