//! The resolved model: what every front end lowers into and all that the data path ever sees of configuration.
//!
//! Values here are valid by construction: only this crate can make them (`non_exhaustive`), names are already turned
//! into indices, defaults are filled in. No serde, no `Option` that means "default".

mod access_log;
mod action;
mod client;
mod compile;
mod compression;
mod condition;
mod containment;
mod differences;
mod resilience;
mod rollout;

pub use access_log::{
    AccessLog, AccessLogFormat, AccessLogTarget, LogFact, LogOperator, LogPiece, LogTemplate, LoggedHeader,
    LoggedState, TIME_LETTERS, TimePiece,
};
pub(crate) use action::PathPiece;
pub use action::{
    AllowList, Cors, Destination, DirectResponse, HeaderEdits, HeaderPiece, HeaderTemplate, OriginPattern,
    PathRewrite, Redirect, RegexRewrite, Rewrite, RouteAction, Scheme, Variable,
};
pub use client::{ClientCertHeader, Identity, ProxyVersion};
pub use compile::{CacheDirectory, CompileSettings};
pub use compression::{Coding, Compression, MediaRange, RouteCompression};
pub use condition::{PathMatch, Pattern, RouteMatch, ValueMatch};
pub use containment::{FilterLimits, Quarantine};
pub use resilience::{
    Balancer, HealthCheck, Outlier, Pool, Retry, RetryBudget, RetryConditions, TcpKeepalive, UpstreamLimits,
};

pub use rollout::{AdminChanges, Canary, Rollout, Shadow, StateDirectory, Sticky, Thresholds, Webhook};

pub use gateway_wire::path::{Backslashes, DuplicateSlashes, EncodedSlashes, Policy as PathPolicy};
use ipnet::IpNet;

use crate::diagnostic::Diagnostic;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where in which file something was written, for messages. Lines and columns start at 1.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One whole configuration.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What is legal and yet hardly meant, such as routes that nothing reaches; in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// How many workers; `None` is one per core.
    pub workers: Option<NonZeroUsize>,
    /// The admin listener; `None` when switched off.
    pub admin: Option<SocketAddr>,
    /// Who may change something through the admin interface.
    pub admin_changes: AdminChanges,
    /// Who is told of events.
    pub webhook: Option<Webhook>,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// In the order written; precedence is worked out by the route table.
    pub routes: Vec<Route>,
    /// In order of name. Routes point here by index.
    pub upstreams: Vec<Upstream>,
    /// The filter directory, already joined to the folder of the configuration file.
    pub filters: FilterSettings,
    /// Where and how access lines are written.
    pub access_log: AccessLog,
    /// How long in-flight requests may go on after a stop was asked for.
    pub drain: Duration,
}

impl Config {
    /// Nothing listens and nothing is routed: what a process serves before its first configuration.
    pub fn empty() -> Self {
        Self {
            warnings: Vec::new(),
            workers: None,
            admin: None,
            admin_changes: AdminChanges { token_file: None, socket: None },
            webhook: None,
            listeners: Vec::new(),
            routes: Vec::new(),
            upstreams: Vec::new(),
            filters: FilterSettings::default(),
            access_log: AccessLog { to: AccessLogTarget::Off, format: AccessLogFormat::Text },
            drain: Duration::ZERO,
        }
    }
}

/// One listening address.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Listener {
    /// Unique.
    pub name: Arc<str>,
    /// Address and port; port 0 takes a free one.
    pub bind: SocketAddr,
    /// `None` is plain text.
    pub tls: Option<ListenerTls>,
    /// What a client may send and how long it may take.
    pub limits: ListenerLimits,
    /// For routes that do not say it themselves; `None` is off.
    pub compression: Option<Compression>,
    /// What is done about paths that servers read differently.
    pub paths: PathPolicy,
    /// Who is believed about whose request it is.
    pub identity: Identity,
    /// Where connections come from that begin with a header of the PROXY protocol.
    pub proxy_protocol: Vec<IpNet>,
    /// Where it was written.
    pub place: Place,
}

/// How a listener speaks TLS. Files are named here and read by whoever serves.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ListenerTls {
    /// At least one; the first is for clients whose server name fits none.
    pub certificates: Vec<Certificate>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// `None`: clients are not asked for certificates.
    pub clients: Option<ClientTrust>,
}

/// A certificate chain with its key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Certificate {
    /// PEM file of the chain, the end entity first.
    pub cert: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
    /// Where it was written.
    pub place: Place,
}

/// Which client certificates are accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ClientTrust {
    /// PEM file of the authorities.
    pub ca: PathBuf,
    /// Whether clients must have one.
    pub certificate: ClientCertificate,
    /// Where `ca` was written.
    pub place: Place,
}

/// Whether a client must have a certificate. One that it sends must be good in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientCertificate {
    /// Without one there is no connection.
    Required,
    /// Without one it is served as nobody in particular.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Bounds on what a client sends.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ListenerLimits {
    /// Request line and headers, in bytes. Over it: 431.
    pub head_bytes: usize,
    /// Number of header lines. Over it: 431.
    pub headers: usize,
    /// Length of the request target, in bytes. Over it: 414.
    pub uri_bytes: usize,
    /// From the first byte of a head to its last. Over it: 408.
    pub head_read: Duration,
    /// Where that was written; `None` is the default.
    pub head_read_place: Option<Place>,
    /// How long a kept-alive connection may wait for the next request.
    pub idle: Duration,
    /// Where that was written; `None` is the default.
    pub idle_place: Option<Place>,
    /// Bytes per second that a request body must bring while it is waited for; 0 is no limit. Under it: 408.
    pub body_rate_bytes: u64,
    /// How long a request body may fall short of that.
    pub body_grace: Duration,
    /// Where that was written; `None` is the default.
    pub body_grace_place: Option<Place>,
    /// How long a client may take nothing of a response.
    pub write_stall: Duration,
    /// Where that was written; `None` is the default.
    pub write_stall_place: Option<Place>,
    /// Concurrent HTTP/2 streams per connection.
    pub http2_streams: u32,
}

/// One route.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Route {
    /// As written, or `route-N` by position (from 1).
    pub name: Arc<str>,
    /// Any of these; empty means every host.
    pub hosts: Vec<HostPattern>,
    /// Any of these; never empty (no `match` is one that matches all).
    pub matches: Vec<RouteMatch>,
    /// What happens to a matched request.
    pub action: RouteAction,
    /// What the upstream is asked for instead.
    pub rewrite: Rewrite,
    /// Largest request body, in bytes. Over it: 413. `None` is no limit.
    pub max_body_bytes: Option<u64>,
    /// What scripts of other sites may do; `None` leaves that to the upstream.
    pub cors: Option<Cors>,
    /// From the end of the request head to the response head. `None` is no limit.
    pub timeout: Option<Duration>,
    /// Where the timeout was written; `None` is the default.
    pub timeout_place: Option<Place>,
    /// When a request is sent to the upstream again; `None` is never after it was written.
    pub retry: Option<Retry>,
    /// What connections may change to.
    pub upgrades: Upgrades,
    /// Whether interim responses (1xx) of upstreams are passed on.
    pub interim_responses: bool,
    /// Edits on the way to the upstream.
    pub request_headers: HeaderEdits,
    /// Edits on the way to the client.
    pub response_headers: HeaderEdits,
    /// Which responses are compressed.
    pub compression: RouteCompression,
    /// Where it was written.
    pub place: Place,
}

/// What the connections of a route may change to (RFC 9110, section 7.8).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Upgrades {
    /// Protocols in lower case; empty for none.
    pub protocols: Vec<Arc<str>>,
    /// How long an upgraded connection may be without a byte in either direction. `None` is no limit.
    pub idle: Option<Duration>,
    /// Where that was written; `None` is the default.
    pub idle_place: Option<Place>,
}

/// A host as routes name it. Lower case, without port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Arc<str>),
    /// `*.example.com` is held as `.example.com`: one or more labels before it (Gateway API hostname).
    Suffix(Arc<str>),
}

/// A named group of endpoints.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Upstream {
    /// Unique.
    pub name: Arc<str>,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// What is spoken to the endpoints.
    pub protocol: UpstreamProtocol,
    /// The version of the PROXY protocol that tells the endpoints who the client is.
    pub proxy_protocol: Option<ProxyVersion>,
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
    /// Where that was written; `None` is the default.
    pub connect_timeout_place: Option<Place>,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// Where that was written; `None` is the default.
    pub idle_place: Option<Place>,
    /// `None` is plain text.
    pub tls: Option<UpstreamTls>,
    /// How requests are spread over the endpoints.
    pub balancer: Balancer,
    /// When an endpoint that fails gets no requests for a while.
    pub outlier: Option<Outlier>,
    /// How the gateway finds out which endpoints work.
    pub health_check: Option<HealthCheck>,
    /// If less than this share of the endpoints may get requests, in percent, all of them do.
    pub panic_threshold: u8,
    /// How much may be in use at a time, over all workers.
    pub limits: UpstreamLimits,
    /// How long connections are used, and how many are kept.
    pub pool: Pool,
    /// Probes on connections over which nothing is sent.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How many retries may be under way.
    pub retry_budget: RetryBudget,
    /// Where it was written.
    pub place: Place,
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpstreamProtocol {
    /// HTTP/1.1: a connection serves one request at a time.
    Http1,
    /// HTTP/2 and nothing else: over TLS agreed on by ALPN, without TLS by prior knowledge (RFC 9113, section 3).
    Http2,
    /// Only over TLS: HTTP/2 where the endpoint chooses it by ALPN, else HTTP/1.1.
    Auto,
}

/// How an upstream is spoken to over TLS.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct UpstreamTls {
    /// A host name in lower case; `None` is the host of each endpoint.
    pub sni: Option<Arc<str>>,
    /// Whose certificates are believed.
    pub trust: UpstreamTrust,
    /// The gateway's own certificate.
    pub certificate: Option<Certificate>,
    /// Where it was written.
    pub place: Place,
}

/// Whose certificates are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UpstreamTrust {
    /// The authorities that the operating system trusts.
    System,
    /// The authorities in this PEM file.
    File {
        /// The file.
        ca: PathBuf,
        /// Where it was written.
        place: Place,
    },
    /// Anybody's.
    Anyone,
}

/// One endpoint of an upstream.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// What to connect to.
    pub address: EndpointAddress,
    /// Relative to the other endpoints; at least 1.
    pub weight: u32,
}

/// What to connect to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum EndpointAddress {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A host name (resolved by the control thread, every address it has is used) and port.
    Name {
        /// The name as written.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
}

/// The filter directory.
#[derive(Clone, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct FilterSettings {
    /// Watched for `NAME.wasm` and `NAME.yaml`; `None` when there are no filters.
    pub directory: Option<PathBuf>,
    /// Filters that must be there; a missing one is reported and its routes answer by its policy.
    pub expect: Vec<Arc<str>>,
    /// Where compiled filters are kept. Read at the start.
    pub cache: CacheDirectory,
    /// What compiling one filter may cost.
    pub compile: CompileSettings,
    /// Where versions and their history are kept over restarts.
    pub state: StateDirectory,
}

/// What stands in `filters/NAME.yaml`; a filter without one gets [`Manifest::default_for`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Manifest {
    /// Coarse position in the chain.
    pub phase: Phase,
    /// Fine position: higher runs earlier within a phase.
    pub priority: i32,
    /// The plugin configuration as the guest reads it: a string as it is, anything else as JSON. Empty if absent.
    pub config: Vec<u8>,
    /// Where the filter applies; all empty means everywhere.
    pub applies_to: FilterMatch,
    /// Readiness waits for it, and deleting its file does not remove it.
    pub required: bool,
    /// A version passes a made-up request before it serves.
    pub rehearsal: bool,
    /// What a stream gets when the filter cannot decide.
    pub on_failure: FailurePolicy,
    /// What a stream gets when it fails closed: 400 to 599.
    pub failure_status: u16,
    /// When it is not called for a while; `None` if it always is.
    pub quarantine: Option<Quarantine>,
    /// Budgets.
    pub limits: FilterLimits,
    /// Who shares a machine.
    pub isolation: Isolation,
    /// How it is copied.
    pub image: ImageSettings,
    /// What stands for `{secret: NAME}` in `config`, by name. The values are read when the filter is configured, and kept
    /// nowhere else.
    pub secrets: Vec<(Arc<str>, SecretSource)>,
    /// Environment variables of the guest.
    pub env: Vec<(String, String)>,
    /// Upstreams that callouts may name.
    pub callouts: Vec<Arc<str>>,
    /// The module's SHA-256 in lower-case hex; another content is refused.
    pub sha256: Option<Arc<str>>,
    /// Root id as the guest asks for it; empty by default.
    pub root_id: Arc<str>,
    /// Filters with the same one share data and queues, and those that are otherwise equal a virtual machine; `None` is the
    /// filter's own name.
    pub vm_id: Option<Arc<str>>,
    /// The VM configuration as the guest reads it.
    pub vm_config: Vec<u8>,
    /// The body is delivered while the head is held back.
    pub body_while_paused: bool,
    /// Filters that may use this one's queues.
    pub shared_with: Vec<Arc<str>>,
    /// Names of headers (lower case) that do not exist for the filter.
    pub hidden_headers: Vec<Arc<str>>,
    /// How a new version is taken up.
    pub rollout: Rollout,
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretSource {
    /// In a file; a relative path begins in the filter directory.
    File(PathBuf),
    /// In an environment variable of the gateway.
    Env(Arc<str>),
}

/// Where a filter applies. An empty list does not narrow.
#[derive(Clone, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct FilterMatch {
    /// Listener names.
    pub listeners: Vec<Arc<str>>,
    /// Hosts, compared with the request's.
    pub hosts: Vec<HostPattern>,
    /// Route names.
    pub routes: Vec<Arc<str>>,
}

/// Coarse position of a filter in the chain, in the order of the variants (as Istio's WasmPlugin).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Who is it?
    Authn,
    /// May they?
    Authz,
    /// Counting and logging. Fails open unless the manifest says otherwise.
    Stats,
    /// Anything else, next to the upstream.
    Unspecified,
}

/// What a stream gets when a filter traps, runs out of budget or is not live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailurePolicy {
    /// The status of the manifest.
    Closed,
    /// The request goes on as if the filter were not there.
    Open,
}

/// Who shares a virtual machine.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Isolation {
    /// The streams of a worker, as every Proxy-Wasm filter expects.
    #[default]
    Worker,
    /// Nobody: each stream has a copy of the configured machine to itself.
    Stream,
}

/// How the configured machine of a filter is copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageSettings {
    /// What becomes of random numbers that were drawn before.
    pub shared_randomness: SharedRandomness,
    /// How long a version waits for its image before it goes live without; with [`Isolation::Stream`] it has to wait.
    pub wait: Duration,
}

/// What becomes of random numbers that a filter drew before its machine is copied.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SharedRandomness {
    /// There are no copies then: each machine is started by itself.
    #[default]
    Refuse,
    /// All copies have the same ones.
    Accept,
}
