//! What the gateway would do with a request, and why: the answer of `gateway explain`.
//!
//! Asks the route table, the filter selection and the rewrites that serve traffic. Opens nothing and sends nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_config::{
    ClientCertificate, Config, Destination, Listener, Manifest, PathPolicy, Place, Route, RouteAction,
    Scheme, Upgrades,
};
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::refusal::{Gate, Refusal};
use crate::request::RequestHead;
use crate::route::examine::Verdict;
use crate::route::{Decision, RouteInput, cors, rewrite};
use crate::shared::Containment;
use crate::snapshot::{FilterSpec, Snapshot, SnapshotTls};
use crate::target;
use crate::tls::HANDSHAKE_TIMEOUT;

/// A request to explain.
#[derive(Clone, Debug)]
pub struct Question {
    /// As a client sends it.
    pub method: String,
    /// Absolute, such as `https://host/path?query`.
    pub url: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Address of the client.
    pub client: IpAddr,
    /// Name of the listener; otherwise the one with the port of the URL, else the first that speaks its scheme, else the
    /// first.
    pub listener: Option<String>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// Not an absolute URL.
    #[error("{0} is not an absolute URL; write for example https://shop.example.com/cart")]
    Url(String),
    /// Not a method.
    #[error("{0} is not a method")]
    Method(String),
    /// Not a header.
    #[error("{0} is not a legal header")]
    Header(String),
    /// No such listener.
    #[error("there is no listener {0}")]
    Listener(String),
    /// Plain text to a listener that speaks TLS.
    #[error("listener {0} speaks TLS, and plain HTTP gets no answer there; ask with https://")]
    NeedsTls(String),
}

/// What would happen.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Through which listener.
    pub listener: String,
    /// Whether that speaks TLS. If not, the request is one of plain HTTP, whatever its URL says.
    pub is_tls: bool,
    /// Whether clients show a certificate there; `None`: they are not asked for one.
    pub client_certificate: Option<ClientCertificate>,
    /// The path in canonical form, which is what routes look at, if it is not in that form.
    pub canonical: Option<String>,
    /// Why the request is answered with 400 and asks for no route at all.
    pub refused: Option<String>,
    /// Candidates whose host and path fit, in the order in which they are asked.
    pub candidates: Vec<Candidate>,
    /// Matches of routes whose host or path does not fit.
    pub others: usize,
    /// What the winner does; `None` without a winner: 404.
    pub outcome: Option<Outcome>,
}

/// One match of one route.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Name of the route.
    pub route: String,
    /// Where the match was written.
    pub place: Place,
    /// Whether it wins.
    pub wins: bool,
    /// Whether all its conditions hold.
    pub matches: bool,
    /// Why it does not win; empty for the winner.
    pub reason: String,
}

/// What the winner does.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the route.
    pub route: String,
    /// Where the route was written.
    pub place: Place,
    /// What it does, in words.
    pub action: String,
    /// Where it may go.
    pub upstreams: Vec<Target>,
    /// What the upstream is asked for, if it is not what the client asks for.
    pub rewritten: Option<String>,
    /// Names of the filters that see the request, in order.
    pub filters: Vec<String>,
    /// Every time limit that applies.
    pub timeouts: Vec<Timeout>,
}

/// An upstream that may get the request.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name of the upstream.
    pub upstream: String,
    /// Its share.
    pub weight: u32,
    /// Whether it is spoken to over TLS.
    pub is_tls: bool,
}

/// A time limit and where it comes from.
#[derive(Clone, Debug)]
pub struct Timeout {
    /// What is limited.
    pub name: String,
    /// `None` is no limit.
    pub value: Option<Duration>,
    /// Where it was written; `None` is the default.
    pub place: Option<Place>,
}

/// Explains a request. `filters` are the filters of the directory with their manifests.
///
/// # Errors
/// The question is none.
pub fn explain(
    config: Config,
    filters: Vec<(String, Manifest)>,
    question: &Question,
) -> Result<Explanation, QuestionError> {
    let mut head = head(question)?;
    let listener = listener(&config, question)?.cloned();
    let listener = listener.as_ref();
    let policy = listener.map_or(PathPolicy::STRICT, |listener| listener.paths);
    let (canonical, refused) = match target::canonical(&head.path, &head.method, policy) {
        Ok(form) => (form, None),
        Err(refusal) => (None, Some(format!("the path {refusal}"))),
    };
    if let Some(form) = &canonical {
        head.path = form.clone();
    }
    let tls = listener.and_then(|listener| listener.tls.as_ref());
    let specs = filters.into_iter().map(|(name, manifest)| {
        let live = Err(Refusal::at(Gate::Present, "not loaded to be explained"));
        let name = Arc::from(name);
        let containment = Containment::new(&name, &manifest, None);
        Arc::new(FilterSpec { name, version: "-".into(), manifest, containment, live })
    });
    let snapshot = Snapshot::new(0, config, Vec::new(), SnapshotTls::default(), specs.collect());
    let host = head.host();
    let input = RouteInput {
        host: &host,
        path: head.path.path(),
        query: head.path.query(),
        method: head.method.as_str(),
        preflight_method: cors::preflight_method(&head.method, &head.headers),
        headers: &head.headers,
        filter_state: &[],
        client: question.client.to_canonical(),
    };
    let routes = &snapshot.config.routes;
    let examined = if refused.is_none() { snapshot.routes.examine(routes, &input) } else { Vec::new() };
    let winner = examined.iter().find(|one| one.verdict == Verdict::Wins).map(|one| one.decision);
    let candidate = |one: &crate::route::examine::Examined| {
        let route = &routes[one.decision.route.0];
        let (matches, reason) = match &one.verdict {
            Verdict::Wins => (true, String::new()),
            Verdict::Beaten(reason) => (true, reason.clone()),
            Verdict::Fails(reason) => (false, reason.clone()),
        };
        Candidate {
            route: route.name.to_string(),
            place: route.matches[one.decision.condition].place.clone(),
            wins: one.verdict == Verdict::Wins,
            matches,
            reason,
        }
    };
    let written: usize = routes.iter().map(|route| route.matches.len()).sum();
    Ok(Explanation {
        canonical: canonical.map(|form| form.as_str().to_owned()),
        refused,
        candidates: examined.iter().map(candidate).collect(),
        others: written.saturating_sub(examined.len()),
        outcome: winner.map(|winner| outcome(&snapshot, winner, &head, listener)),
        listener: listener.map_or_else(String::new, |listener| listener.name.to_string()),
        is_tls: tls.is_some(),
        client_certificate: tls.and_then(|tls| Some(tls.clients.as_ref()?.certificate)),
    })
}

fn head(question: &Question) -> Result<RequestHead, QuestionError> {
    let not_a_url = || QuestionError::Url(question.url.clone());
    let uri: Uri = question.url.parse().map_err(|_| not_a_url())?;
    let authority = uri.authority().filter(|_| uri.scheme().is_some()).ok_or_else(not_a_url)?;
    let method = Method::from_bytes(question.method.as_bytes())
        .map_err(|_| QuestionError::Method(question.method.clone()))?;
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(|_| not_a_url())?);
    for (name, value) in &question.headers {
        let header = name.parse::<HeaderName>().ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = header.ok_or_else(|| QuestionError::Header(format!("{name}: {value}")))?;
        if name == HOST {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Ok(RequestHead { method, path, headers, interim: None })
}

fn listener<'c>(config: &'c Config, question: &Question) -> Result<Option<&'c Listener>, QuestionError> {
    let uri = question.url.parse::<Uri>().ok();
    let is_https = uri.as_ref().and_then(Uri::scheme_str) == Some("https");
    let find = |fits: &dyn Fn(&Listener) -> bool| config.listeners.iter().find(|listener| fits(listener));
    let found = match &question.listener {
        Some(name) => {
            let named = find(&|listener| *listener.name == **name);
            Some(named.ok_or_else(|| QuestionError::Listener(name.clone()))?)
        }
        None => {
            let usual = if is_https { Scheme::Https } else { Scheme::Http }.usual_port();
            let port = uri.and_then(|uri| uri.port_u16()).unwrap_or(usual);
            find(&|listener| listener.bind.port() == port)
                .or_else(|| find(&|listener| listener.tls.is_some() == is_https))
                .or(config.listeners.first())
        }
    };
    match found {
        Some(listener) if listener.tls.is_some() && !is_https => {
            Err(QuestionError::NeedsTls(listener.name.to_string()))
        }
        found => Ok(found),
    }
}

fn outcome(
    snapshot: &Snapshot,
    decision: Decision,
    head: &RequestHead,
    listener: Option<&Listener>,
) -> Outcome {
    let config = &snapshot.config;
    let route = &config.routes[decision.route.0];
    let is_preflight = route.cors.is_some() && cors::preflight_method(&head.method, &head.headers).is_some();
    let host = head.host();
    let listener_name = listener.map_or("", |listener| &*listener.name);
    let filters = snapshot.chain(decision.route, listener_name, &host);
    let filters = filters.map(|index| snapshot.filters[index].name.to_string()).collect();
    let forwards = match &route.action {
        RouteAction::Forward(destinations) if !is_preflight => &destinations[..],
        _ => &[],
    };
    Outcome {
        route: route.name.to_string(),
        place: route.place.clone(),
        action: if is_preflight {
            "answers the CORS preflight".to_owned()
        } else {
            action(route, decision, head, listener)
        },
        upstreams: forwards.iter().map(|to| share(config, to)).collect(),
        rewritten: (!forwards.is_empty()).then(|| rewritten(route, decision, head)).flatten(),
        filters: if is_preflight { Vec::new() } else { filters },
        timeouts: timeouts(config, route, listener, forwards),
    }
}

fn share(config: &Config, to: &Destination) -> Target {
    let upstream = &config.upstreams[to.upstream];
    Target { upstream: upstream.name.to_string(), weight: to.weight, is_tls: upstream.tls.is_some() }
}

fn action(route: &Route, decision: Decision, head: &RequestHead, listener: Option<&Listener>) -> String {
    match &route.action {
        RouteAction::Forward(_) if route.upgrades.protocols.is_empty() => "forwards".to_owned(),
        RouteAction::Forward(_) => {
            format!("forwards, and changes to {} if asked", route.upgrades.protocols.join(" or "))
        }
        RouteAction::Respond(direct) => match &direct.file {
            Some(file) => format!("answers {} with {}", direct.status, file.display()),
            None => format!("answers {} with {} bytes", direct.status, direct.body.len()),
        },
        RouteAction::Redirect(redirect) => {
            let is_tls = listener.is_some_and(|listener| listener.tls.is_some());
            let scheme = if is_tls { Scheme::Https } else { Scheme::Http };
            let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
            let asked = rewrite::Asked { scheme, host, path: &head.path };
            match rewrite::location(redirect, &route.matches[decision.condition].path, &asked) {
                Ok(Some(location)) => format!("redirects with {} to {location}", redirect.status),
                Ok(None) => "answers 400: no host is known".to_owned(),
                Err(unfit) => unfit_text(unfit),
            }
        }
    }
}

fn rewritten(route: &Route, decision: Decision, head: &RequestHead) -> Option<String> {
    if route.rewrite.host.is_none() && route.rewrite.path.is_none() {
        return None;
    }
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let host = route.rewrite.host.as_deref().unwrap_or(host);
    let path = match &route.rewrite.path {
        None => Ok(head.path.clone()),
        Some(path) => rewrite::rewritten(path, &route.matches[decision.condition].path, &head.path),
    };
    Some(path.map_or_else(unfit_text, |path| format!("{host}{path}")))
}

fn unfit_text(unfit: rewrite::Unfit) -> String {
    match unfit {
        rewrite::Unfit::TooLong => "answers 414: the new path is too long".to_owned(),
        rewrite::Unfit::NotCanonical => "answers 400: the new path has no canonical form".to_owned(),
    }
}

fn timeouts(
    config: &Config,
    route: &Route,
    listener: Option<&Listener>,
    forwards: &[Destination],
) -> Vec<Timeout> {
    let mut timeouts = Vec::new();
    let mut add = |name: String, value: Option<Duration>, place: &Option<Place>| {
        timeouts.push(Timeout { name, value, place: place.clone() });
    };
    if let Some(listener) = listener {
        let limits = &listener.limits;
        if listener.tls.is_some() {
            add(format!("listener {} TLS handshake", listener.name), Some(HANDSHAKE_TIMEOUT), &None);
        }
        add(format!("listener {} headRead", listener.name), Some(limits.head_read), &limits.head_read_place);
        add(format!("listener {} idle", listener.name), Some(limits.idle), &limits.idle_place);
        let body_grace = (limits.body_rate_bytes > 0).then_some(limits.body_grace);
        add(format!("listener {} bodyGrace", listener.name), body_grace, &limits.body_grace_place);
        let write_stall = Some(limits.write_stall);
        add(format!("listener {} writeStall", listener.name), write_stall, &limits.write_stall_place);
    }
    if !forwards.is_empty() {
        add(format!("route {} timeout", route.name), route.timeout, &route.timeout_place);
        if let Some(retry) = &route.retry {
            let name = format!("route {} retry.perTryTimeout", route.name);
            add(name, retry.per_try_timeout, &retry.per_try_timeout_place);
        }
        if !route.upgrades.protocols.is_empty() {
            let Upgrades { idle, idle_place, .. } = &route.upgrades;
            add(format!("route {} upgradeIdleTimeout", route.name), *idle, idle_place);
        }
    }
    for to in forwards {
        let upstream = &config.upstreams[to.upstream];
        let name = &upstream.name;
        add(
            format!("upstream {name} connectTimeout"),
            Some(upstream.connect_timeout),
            &upstream.connect_timeout_place,
        );
        add(format!("upstream {name} idle"), Some(upstream.idle), &upstream.idle_place);
    }
    timeouts
}
