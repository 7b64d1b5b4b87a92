//! Exactly what users may write, section by section. The doc comments are the descriptions in the published JSON Schema.
//!
//! No logic: what a value may look like is in its type, what a section means is worked out in [`crate::resolve`].

pub(crate) mod access_log;
mod client;
pub(crate) mod compression;
mod containment;
mod filter;
mod resilience;
pub(crate) mod rollout;

pub(crate) use client::{HopCount, Paths, ProxyProtocol};
pub(crate) use containment::{FailureStatus, Quarantine};
pub(crate) use filter::{Compile, FilterLimits, FilterMatch, Filters, Image, Manifest, SecretSource};
pub(crate) use resilience::{
    Backoff, CheckCount, HealthCheck, Outlier, Percent, Pool, Retry, RetryBudget, TcpKeepalive,
    UpstreamLimits,
};

use access_log::AccessLog;
use compression::Compression;
use rollout::{Events, Mode};

use crate::address::{Address, Bind, Host, ServerName};
use crate::cors_text::Allowed;
use crate::http_text::{
    EditableHeader, HeaderName, HeaderValue, Method, PathReplacement, UpgradeProtocol, UrlPath,
};
use crate::match_text::{CookieName, Network, ParameterName, StateName};
use crate::read::{AnyValue, List, Named, OneOrMany, Rare, ShortOr, Switchable, section};
use crate::resolved::{
    Balancer, ClientCertHeader, ClientCertificate, FailurePolicy, HeaderTemplate, Isolation, OriginPattern,
    Pattern, Phase, ProxyVersion, Scheme, SharedRandomness, TlsVersion, UpstreamProtocol,
};
use crate::values::{
    EnvName, EnvValue, FilterName, Name, OneOf, PathText, RedirectStatus, Sha256, Size, Span, Switch, Text,
    Whole, Word,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A head must fit a connection's read buffer, which has at least 8 KiB.
pub(crate) type HeadBytes = Size<{ 8 * KIB }, { 16 * MIB }>;
/// Longer targets cannot be represented.
pub(crate) type UriBytes = Size<64, { 64 * KIB }>;
/// At most what a WebAssembly memory can address.
pub(crate) type MemoryBytes = Size<{ 64 * KIB }, { 4 * GIB }>;
pub(crate) type BodyBytes = Size<1, GIB>;
/// Per second.
pub(crate) type BodyRate = Size<0, GIB>;
pub(crate) type RequestBodyBytes = Size<0, { 1024 * GIB }>;
pub(crate) type Port = Whole<1, 65_535>;
pub(crate) type HeaderCount = Whole<1, 10_000>;
pub(crate) type StreamCount = Whole<1, 10_000>;
pub(crate) type WorkerCount = Whole<1, 1_024>;
pub(crate) type Weight = Whole<0, 1_000_000>;
/// An endpoint without traffic is left out instead.
pub(crate) type EndpointWeight = Whole<1, 1_000_000>;
pub(crate) type Priority = Whole<{ i32::MIN as i64 }, { i32::MAX as i64 }>;
pub(crate) type Status = Whole<200, 599>;
/// A wait that must end.
pub(crate) type Wait = Span<1, { 24 * HOUR }>;
/// A wait that may be nothing at all.
pub(crate) type WaitOrZero = Span<0, { 24 * HOUR }>;
pub(crate) type CallbackCpu = Span<1, MINUTE>;
pub(crate) type StartCpu = Span<1, { 10 * MINUTE }>;
/// The kernel counts whole seconds.
pub(crate) type CompileCpu = Span<1_000, { 60 * MINUTE }>;
/// With less, not even the compiler itself starts.
pub(crate) type CompileMemory = Size<{ 256 * MIB }, { 64 * GIB }>;
pub(crate) type Instances = Whole<1, 100_000>;
pub(crate) type InstanceWait = Span<0, { MINUTE }>;
pub(crate) type ImageWait = Span<0, { 60 * MINUTE }>;
pub(crate) type FilterPause = Span<1, { 60 * MINUTE }>;

section! {
    /// One gateway: where it listens, how it routes, where it sends requests, which filters see them.
    Config {
        /// Worker threads, each with its own event loop. Default: one per core.
        optional "workers" workers: WorkerCount,
        /// The admin listener for readiness and metrics. `off` switches it off. Default: 127.0.0.1:9901.
        optional "admin" admin: Switchable<Admin>,
        /// How long in-flight requests may go on after a stop was asked for. Default: 30s.
        optional "drain" drain: WaitOrZero,
        /// One line per request. `off` switches it off. Default: text on standard output.
        optional "accessLog" access_log: Switchable<AccessLog>,
        /// Where clients connect. At least one.
        required "listeners" listeners: List<Listener>,
        /// What happens to which request. The most specific route wins, as in the Gateway API; ties by order. At least one.
        required "routes" routes: List<Route>,
        /// Where requests can be sent, by name: endpoints and settings, or just one address.
        optional "upstreams" upstreams: Named<Name, ShortOr<Address, Upstream>>,
        /// The filter directory. Default: no filters.
        optional "filters" filters: Filters,
        /// Who is told what happens to filters. Default: only the log, the metrics and the admin interface.
        optional "events" events: Events,
    }
}

section! {
    /// The admin listener.
    Admin {
        /// Address and port. Default: 127.0.0.1:9901.
        optional "bind" bind: Bind,
        /// File with the token for changes, readable by its owner alone; made at the start if it is not there. Default: no changes over TCP.
        optional "tokenFile" token_file: PathText,
        /// Unix socket for reads and changes by the user of the gateway and by root. Default: none.
        optional "socket" socket: PathText,
    }
}

section! {
    /// One listening address.
    Listener {
        /// Unique. Default: listener-N by position, from 1.
        optional "name" name: Name,
        /// Address and port; `:8080` is every IPv4 address of the machine; port 0 takes a free one.
        required "bind" bind: Bind,
        /// TLS. Default: plain text.
        optional "tls" tls: ListenerTls,
        /// Bounds on what a client sends.
        optional "limits" limits: ListenerLimits,
        /// Compressed responses, for routes that do not say it themselves. Default: off.
        optional "compression" compression: Switchable<Compression>,
        /// What is done about paths that servers read differently.
        optional "paths" paths: Paths,
        /// Networks or addresses of proxies in front of the gateway, which are believed about who the client is. Default: none.
        optional "trustedPeers" trusted_peers: OneOrMany<Network>,
        /// How many proxies are believed, the one that connects being the first. Default: as many as are among `trustedPeers`.
        optional "trustedHops" trusted_hops: HopCount,
        /// The header `x-forwarded-client-cert`: `drop`, `set` to the client's certificate, `append` that to what a trusted
        /// peer says, or `forward` what it says. Default: drop.
        optional "clientCertHeader" client_cert_header: OneOf<ClientCertHeader>,
        /// Connections that begin with a header of the PROXY protocol. Default: none.
        optional "proxyProtocol" proxy_protocol: ProxyProtocol,
    }
}

section! {
    /// How a listener speaks TLS. The files are watched; a pair that does not fit keeps the last good one.
    ListenerTls {
        /// At least one. Chosen by the server name (SNI) that the client asks for; the first is for all other clients.
        required "certificates" certificates: List<Certificate>,
        /// The oldest version of TLS that is spoken. Default: 1.2.
        optional "minVersion" min_version: OneOf<TlsVersion>,
        /// PEM file of the authorities that issue certificates to clients. Default: clients have no certificate.
        optional "clientCa" client_ca: PathText,
        /// Whether a client must have a certificate of `clientCa`, or may. Default: required.
        optional "clientCert" client_cert: OneOf<ClientCertificate>,
    }
}

section! {
    /// A certificate with its key.
    Certificate {
        /// PEM file: the certificate, then those of the authorities between it and the root.
        required "cert" cert: PathText,
        /// PEM file of the private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
        required "key" key: PathText,
    }
}

section! {
    /// Bounds on what a client sends.
    ListenerLimits {
        /// Request line and headers together; over it 431. Default: 64KiB.
        optional "head" head: HeadBytes,
        /// Number of header lines; over it 431. Default: 100.
        optional "headers" headers: HeaderCount,
        /// Length of the request target; over it 414. Default: 16KiB.
        optional "uri" uri: UriBytes,
        /// From the first byte of a request head to its last; over it 408. Default: 10s.
        optional "headRead" head_read: Wait,
        /// How long a kept-alive connection may wait for its next request. Default: 60s.
        optional "idle" idle: Wait,
        /// Bytes per second that a request body must bring while it is waited for; under it 408. `0B` is no limit. Default: 500B.
        optional "bodyRate" body_rate: BodyRate,
        /// How long a request body may fall short of that. Default: 10s.
        optional "bodyGrace" body_grace: Wait,
        /// How long a client may take nothing of a response; then it is cut. Default: 30s.
        optional "writeStall" write_stall: Wait,
        /// Concurrent HTTP/2 streams per connection. Default: 100.
        optional "http2Streams" http2_streams: StreamCount,
    }
}

section! {
    /// What happens to the requests that match. Exactly one of `to`, `respond` and `redirect`.
    Route {
        /// Unique; appears in logs and metrics. Default: route-N by position, from 1.
        optional "name" name: Name,
        /// Any of these hosts; `*.example.com` matches every host below example.com. Default: every host.
        optional "hosts" hosts: List<Host>,
        /// Any of these conditions. Default: every request.
        optional "match" matches: OneOrMany<Match>,
        /// The upstream that gets the requests, or several with weights.
        optional "to" to: OneOrMany<ShortOr<Name, Destination>>,
        /// An answer that the gateway gives itself.
        optional "respond" respond: Rare<Respond>,
        /// An answer that sends the client elsewhere.
        optional "redirect" redirect: Rare<Redirect>,
        /// Changes of host and path on the way to the upstream; only with `to`.
        optional "rewrite" rewrite: Rare<Rewrite>,
        /// Largest request body; over it 413. Default: no limit.
        optional "maxBody" max_body: RequestBodyBytes,
        /// What scripts of other sites may do; the gateway answers preflights. Default: left to the upstream.
        optional "cors" cors: Rare<Cors>,
        /// From the end of the request head to the head of the response; `0s` is no limit. Default: 15s.
        optional "timeout" timeout: WaitOrZero,
        /// Sending a request to the upstream again; only with `to`. Default: only what a kept connection that was closed did not take.
        optional "retry" retry: Rare<Retry>,
        /// Protocols that a connection may change to, such as `websocket`; only with `to`. Default: none.
        optional "upgrades" upgrades: OneOrMany<UpgradeProtocol>,
        /// How long an upgraded connection may be without a byte in either direction; `0s` is no limit. Default: 5m.
        optional "upgradeIdleTimeout" upgrade_idle_timeout: WaitOrZero,
        /// Whether interim responses of the upstream (such as 103) go to clients of HTTP/1.1; at most 8 per request. Default: false.
        optional "interimResponses" interim_responses: Switch,
        /// Edits of headers on the way to the upstream.
        optional "requestHeaders" request_headers: Rare<HeaderEdits>,
        /// Edits of headers on the way to the client.
        optional "responseHeaders" response_headers: Rare<HeaderEdits>,
        /// Compressed responses. Default: as the listener says.
        optional "compression" compression: Switchable<Compression>,
    }
}

section! {
    /// Conditions that must all hold.
    Match {
        /// Condition on the path. Default: every path.
        optional "path" path: PathMatch,
        /// Exactly this method. Default: every method.
        optional "method" method: Method,
        /// Headers that must have these values, or match in another way.
        optional "headers" headers: Named<HeaderName, ShortOr<HeaderValue, ValueMatch>>,
        /// Query parameters that must have these values, or match in another way; compared decoded.
        optional "query" query: Named<ParameterName, ShortOr<Text, ValueMatch>>,
        /// Cookies that must have these values, or match in another way.
        optional "cookie" cookie: Named<CookieName, ShortOr<HeaderValue, ValueMatch>>,
        /// Properties set by filters that must have these values, or match in another way; names as in `%FILTER_STATE(NAME)%`.
        optional "filterState" filter_state: Named<StateName, ShortOr<Text, ValueMatch>>,
        /// Networks or addresses, one of which the client's address must be in.
        optional "client" client: OneOrMany<Network>,
        /// Conditions that must not hold: a request for which all of them do is not taken. Several: none may hold.
        optional "not" not: OneOrMany<NotMatch>,
    }
}

section! {
    /// Conditions of which, taken together, the opposite must hold.
    NotMatch {
        /// Condition on the path. Default: every path.
        optional "path" path: PathMatch,
        /// Exactly this method. Default: every method.
        optional "method" method: Method,
        /// Headers with these values, or that match in another way.
        optional "headers" headers: Named<HeaderName, ShortOr<HeaderValue, ValueMatch>>,
        /// Query parameters with these values, or that match in another way; compared decoded.
        optional "query" query: Named<ParameterName, ShortOr<Text, ValueMatch>>,
        /// Cookies with these values, or that match in another way.
        optional "cookie" cookie: Named<CookieName, ShortOr<HeaderValue, ValueMatch>>,
        /// Properties set by filters with these values, or that match in another way.
        optional "filterState" filter_state: Named<StateName, ShortOr<Text, ValueMatch>>,
        /// Networks or addresses, one of which the client's address is in.
        optional "client" client: OneOrMany<Network>,
    }
}

section! {
    /// Condition on the path: exactly one of `exact`, `prefix` and `regex`.
    PathMatch {
        /// The whole path.
        optional "exact" exact: UrlPath,
        /// Whole segments: `/a` matches `/a` and `/a/b`, not `/ab`.
        optional "prefix" prefix: UrlPath,
        /// A regular expression (RE2 syntax) that the whole path matches.
        optional "regex" regex: Pattern,
    }
}

section! {
    /// Condition on a value: exactly one of `exact`, `regex` and `present`.
    ValueMatch {
        /// The value itself, as the short form.
        optional "exact" exact: Text,
        /// A regular expression (RE2 syntax) that the whole value matches.
        optional "regex" regex: Pattern,
        /// `true`: it is there, with any value. `false`: it is not there.
        optional "present" present: Switch,
    }
}

section! {
    /// One share of the traffic of a route.
    Destination {
        /// The name of an upstream.
        required "upstream" upstream: Name,
        /// Relative to the other weights of the route; 0 gets nothing. Default: 1.
        optional "weight" weight: Weight,
        /// Edits of headers on the way to this upstream, after those of the route.
        optional "requestHeaders" request_headers: HeaderEdits,
        /// Edits of headers that come from this upstream, before those of the route.
        optional "responseHeaders" response_headers: HeaderEdits,
    }
}

section! {
    /// A fixed answer.
    Respond {
        /// HTTP status.
        required "status" status: Status,
        /// Default: empty.
        optional "body" body: Text,
        /// A file of at most 1MiB instead of a body, relative to the folder of this file; read when this file is.
        optional "file" file: PathText,
    }
}

section! {
    /// An answer that sends the client elsewhere. What is not written stays as the client sent it, the query too.
    Redirect {
        /// `http` or `https`; without `port`, the port becomes the usual one.
        optional "scheme" scheme: OneOf<Scheme>,
        /// The new host.
        optional "host" host: Host,
        /// The new port.
        optional "port" port: Port,
        /// The new path.
        optional "path" path: PathRewrite,
        /// 301, 302, 303, 307 or 308. Default: 302.
        optional "status" status: RedirectStatus,
    }
}

section! {
    /// What the upstream is asked for instead. The query stays.
    Rewrite {
        /// The `host` header that the upstream gets.
        optional "host" host: Host,
        /// The new path.
        optional "path" path: PathRewrite,
    }
}

section! {
    /// A new path: exactly one of `full`, `prefix` and `regex`.
    PathRewrite {
        /// In place of the whole path.
        optional "full" full: UrlPath,
        /// In place of the prefix that matched; `/` takes it away.
        optional "prefix" prefix: UrlPath,
        /// In place of a path that an expression matches; other paths stay.
        optional "regex" regex: RegexRewrite,
    }
}

section! {
    /// A replacement of paths by a regular expression.
    RegexRewrite {
        /// The regular expression (RE2 syntax) that the whole path must match.
        required "match" matches: Pattern,
        /// The new path; `$1` and `${name}` stand for groups of the expression, `$$` for a dollar sign.
        required "with" with: PathReplacement,
    }
}

section! {
    /// What scripts of other sites may do.
    Cors {
        /// Sites whose scripts may read responses: `https://www.example.com`, `https://*.example.com`, or `*`.
        required "allowOrigins" allow_origins: List<OriginPattern>,
        /// Methods beyond GET, HEAD and POST; `*` is every method. Default: none.
        optional "allowMethods" allow_methods: List<Allowed<Method>>,
        /// Request headers beyond the usual; `*` is every header. Default: none.
        optional "allowHeaders" allow_headers: List<Allowed<HeaderName>>,
        /// Response headers that scripts may read beyond the usual. Default: none.
        optional "exposeHeaders" expose_headers: List<HeaderName>,
        /// Whether cookies may be sent along; not with the origin `*`. Default: false.
        optional "allowCredentials" allow_credentials: Switch,
        /// How long browsers may remember the answer to a preflight. Default: the browser decides.
        optional "maxAge" max_age: WaitOrZero,
    }
}

section! {
    /// Header edits: removed first, then set, then added. Headers that frame a message cannot be named. Values may hold
    /// variables, such as `%{client_ip}`.
    HeaderEdits {
        /// Replaced, or added where missing.
        optional "set" set: Named<EditableHeader, HeaderTemplate>,
        /// Added to those that are there.
        optional "add" add: Named<EditableHeader, HeaderTemplate>,
        /// Dropped.
        optional "remove" remove: List<EditableHeader>,
    }
}

section! {
    /// A named group of endpoints.
    Upstream {
        /// Addresses, at least one; names are resolved again while running.
        required "endpoints" endpoints: OneOrMany<ShortOr<Address, Endpoint>>,
        /// `http1`, `http2`, or, with `tls`, `auto`: HTTP/2 where the endpoint agrees to it. Without `tls`, `http2`
        /// needs endpoints that expect it from the first byte on (h2c with prior knowledge). Default: http1.
        optional "protocol" protocol: OneOf<UpstreamProtocol>,
        /// `v1` or `v2` of the PROXY protocol, which tells the endpoints who the client is before anything else is sent. A
        /// connection then serves one client only. Default: none.
        optional "proxyProtocol" proxy_protocol: OneOf<ProxyVersion>,
        /// How long a connection attempt may take. Default: 1s.
        optional "connectTimeout" connect_timeout: Wait,
        /// How long an unused connection is kept. Default: 60s.
        optional "idle" idle: Wait,
        /// TLS to the endpoints; `{}` is enough where they have certificates that this system trusts. Default: plain text.
        optional "tls" tls: UpstreamTls,
        /// How requests are spread over the endpoints: round-robin or least-request. Default: round-robin.
        optional "balancer" balancer: OneOf<Balancer>,
        /// Endpoints that fail again and again get no requests for a while; `{}` is with all defaults. Default: off.
        optional "outlier" outlier: Outlier,
        /// Requests of the gateway's own that find out which endpoints work. Default: none.
        optional "healthCheck" health_check: HealthCheck,
        /// If less than this share of the endpoints, in percent, may get requests, all of them do; 0 is never. Default: 50.
        optional "panicThreshold" panic_threshold: Percent,
        /// How much may be in use at a time, over all workers; over it 503. Default: no limits.
        optional "limits" limits: UpstreamLimits,
        /// How long connections are used, and how many are kept.
        optional "pool" pool: Pool,
        /// Probes of the operating system on connections over which nothing is sent. Default: none.
        optional "tcpKeepalive" tcp_keepalive: TcpKeepalive,
        /// How many retries of routes may be under way at a time.
        optional "retryBudget" retry_budget: RetryBudget,
    }
}

section! {
    /// How an upstream is spoken to over TLS.
    UpstreamTls {
        /// The name asked for and expected in the certificate. Default: the host of the endpoint.
        optional "sni" sni: ServerName,
        /// PEM file of the authorities to trust. Default: those that this system trusts.
        optional "ca" ca: PathText,
        /// `false` takes any certificate, also that of an attacker in between. Default: true.
        optional "verify" verify: Switch,
        /// PEM file of the gateway's own certificate, for upstreams that ask for one. Needs `key`.
        optional "cert" cert: PathText,
        /// PEM file of the private key to `cert`.
        optional "key" key: PathText,
    }
}

section! {
    /// One endpoint of an upstream.
    Endpoint {
        /// Host or IP address, and port.
        required "address" address: Address,
        /// Relative to the other endpoints. Default: 1.
        optional "weight" weight: EndpointWeight,
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
