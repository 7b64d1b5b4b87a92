//! The admin API: reads, and changes for whom they are allowed. Its own listener on the control thread, apart from traffic.

mod changes;
mod socket;
mod token;

pub(crate) use socket::{AdminSocket, SocketError};
pub(crate) use token::{TokenError, prepare as prepare_token};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Asked;
use super::filter_page;
use super::filters::{FilterStatus, Problem, Waiting, trial_json};
use super::reloads::Reloads;
use super::traps::TrapReports;
use super::upstreams::UpstreamStatus;
use crate::process::Process;
use crate::shared::{Page, Told};
use crate::telemetry::{Gauge, LogBudget, families, rfc3339};
use crate::trial::Trial;
use changes::Door;

/// Admin connections at a time; a further one waits.
const MAX_CONNECTIONS: usize = 64;
/// Events in one answer.
const MAX_EVENTS_SHOWN: usize = 1_024;
/// Changes that were denied and are logged per second; all of them are counted.
const MAX_DENIALS_LOGGED_PER_SECOND: u32 = 10;
/// Time for a request head, and between two requests.
const HEAD_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Characters of an unknown filter's name that are repeated.
const MAX_SHOWN_NAME: usize = 64;

const INDEX: &str = "gateway admin\n\
    GET /ready      200 while requests are served by all filters that must be there, else 503\n\
    GET /healthz    200 while the process lives\n\
    GET /metrics    Prometheus text format (also /stats/prometheus)\n\
    GET /filters    filters with version, state, last error and sums, and files that are ignored (JSON)\n\
    GET /filters/NAME   everything about one of them, also as /filters?name=NAME (JSON)\n\
    GET /filters/NAME/history  versions of a filter: what came when, how far it got, what served; and the one on trial (JSON)\n\
    GET /filters/traps  how filters failed last, of one with ?filter=NAME (JSON)\n\
    GET /api/events  what happened to filters, ?since=ID (JSON)\n\
    POST /filters/NAME/rollback, promote, pin, unpin  ?version=VERSION; with the token, or over the Unix socket\n\
    GET /reloads    what the newest reloads changed, what they kept, how long they took, and errors (JSON)\n\
    GET /upstreams  upstreams with their endpoints, health, who is ejected, and requests under way (JSON)\n";

/// What the control thread tells the admin API.
#[derive(Default)]
pub(crate) struct Status {
    pub(crate) filters: Vec<FilterStatus>,
    pub(crate) problems: Vec<Problem>,
    /// Versions on trial.
    pub(crate) trials: Vec<Arc<Trial>>,
    /// Of each filter, by name.
    pub(crate) histories: BTreeMap<String, Value>,
    pub(crate) upstreams: UpstreamStatus,
    pub(crate) reloads: Reloads,
    /// Filters that readiness waits for; empty once it waits no more.
    pub(crate) waiting: Vec<Waiting>,
    /// How filters failed last.
    pub(crate) traps: TrapReports,
}

/// What the admin API reads.
pub(crate) struct Admin {
    process: Arc<Process>,
    status: Rc<RefCell<Status>>,
    uptime: Gauge,
    asks: mpsc::Sender<Asked>,
    token_file: Option<PathBuf>,
    denials: LogBudget,
}

/// Opens the admin listener.
pub(crate) fn bind(address: SocketAddr) -> Result<StdListener, super::sockets::BindError> {
    super::sockets::bind_one("admin", address)
}

impl Admin {
    pub(crate) fn new(
        process: Arc<Process>,
        status: Rc<RefCell<Status>>,
        asks: mpsc::Sender<Asked>,
        token_file: Option<PathBuf>,
    ) -> Rc<Self> {
        let uptime = process.registry.gauge(&families::SERVER_UPTIME, &[]);
        let denials = LogBudget::new(MAX_DENIALS_LOGGED_PER_SECOND);
        Rc::new(Self { process, status, uptime, asks, token_file, denials })
    }

    /// Serves until the task is dropped.
    pub(crate) async fn serve(self: Rc<Self>, listener: StdListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!("no admin API: {error}"),
        };
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let accepted = listener.accept().await;
            let Some((stream, local)) = accepted.ok().and_then(|(stream, _)| {
                let local = stream.local_addr().ok()?;
                Some((stream, local))
            }) else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            self.clone().attend(stream, Door::Tcp(local), place);
        }
    }

    /// The same on the Unix socket; its file goes with the task.
    pub(crate) async fn serve_socket(self: Rc<Self>, socket: AdminSocket) {
        let listener = socket.listener.try_clone().and_then(UnixListener::from_std);
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return tracing::error!("no admin socket: {error}"),
        };
        let own = rustix::process::geteuid().as_raw();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == own || peer.uid() == 0 => {
                    self.clone().attend(stream, Door::Socket, place);
                }
                Ok(peer) => {
                    tracing::warn!(user = peer.uid(), "another user was turned away from the admin socket")
                }
                Err(error) => {
                    tracing::warn!("a peer of the admin socket is unknown and was turned away: {error}")
                }
            }
        }
    }

    /// Serves one connection in a task of its own.
    fn attend(
        self: Rc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        door: Door,
        place: OwnedSemaphorePermit,
    ) {
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let admin = self.clone();
                async move { Ok::<_, Infallible>(admin.answer(&request, door).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_READ_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off has had its answer or does not want one.
            let _ = connection.await;
            drop(place);
        });
    }

    async fn answer(&self, request: &Request<Incoming>, door: Door) -> Response<Full<Bytes>> {
        if let Some(asked) = changes::change_of(request.uri().path(), request.uri().query()) {
            return self.make(request, door, asked).await;
        }
        if request.method() != Method::GET {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this path answers GET only\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        self.read(request.uri().path(), request.uri().query())
    }

    fn read(&self, path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
        match path {
            "/" => text(StatusCode::OK, INDEX),
            "/ready" | "/readyz" if self.process.is_ready() => text(StatusCode::OK, "LIVE\n"),
            "/ready" | "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, self.not_ready()),
            "/healthz" | "/livez" => text(StatusCode::OK, "OK\n"),
            "/metrics" | "/stats/prometheus" => {
                reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics())
            }
            "/upstreams" => {
                let upstreams = self.status.borrow().upstreams.json();
                reply(StatusCode::OK, "application/json", format!("{upstreams:#}\n"))
            }
            "/reloads" => {
                let reloads = self.status.borrow().reloads.json();
                reply(StatusCode::OK, "application/json", format!("{reloads:#}\n"))
            }
            "/api/events" | "/events" => self.events(query),
            path => match path.strip_prefix("/filters") {
                Some(rest) => match rest.strip_prefix('/').and_then(|rest| rest.strip_suffix("/history")) {
                    Some(filter) => self.history(filter),
                    None => self.about_filters(rest, query.unwrap_or_default()),
                },
                None => text(StatusCode::NOT_FOUND, INDEX),
            },
        }
    }

    fn events(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let since =
            query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| pair.strip_prefix("since="));
        let Ok(since) = since.unwrap_or("0").parse() else {
            return text(StatusCode::BAD_REQUEST, "`since` is the id of an event\n");
        };
        let Page { events, last_id, lost } = self.process.events.since(since, MAX_EVENTS_SHOWN);
        let events: Vec<_> = events.iter().map(event_json).collect();
        let body = json!({ "events": events, "lastId": last_id, "lost": lost });
        reply(StatusCode::OK, "application/json", format!("{body:#}\n"))
    }

    fn history(&self, filter: &str) -> Response<Full<Bytes>> {
        let status = self.status.borrow();
        let Some(history) = status.histories.get(filter) else {
            return text(StatusCode::NOT_FOUND, format!("there is no filter `{filter}`\n"));
        };
        let mut shown = history.clone();
        let trial = status.trials.iter().find(|trial| **trial.filter() == *filter);
        shown["trial"] = trial.map_or(Value::Null, |trial| trial_json(trial));
        reply(StatusCode::OK, "application/json", format!("{shown:#}\n"))
    }

    fn metrics(&self) -> String {
        self.uptime.set(i64::try_from(self.process.started.elapsed().as_secs()).unwrap_or(i64::MAX));
        self.status.borrow().upstreams.measure();
        self.process.registry.render()
    }

    fn not_ready(&self) -> String {
        let lines: String =
            self.status.borrow().waiting.iter().map(|waiting| format!("WAITING for {waiting}\n")).collect();
        if lines.is_empty() { "DRAINING\n".to_owned() } else { lines }
    }

    /// `rest` is what follows `/filters` in the path. A filter of the name `traps` is asked for by the query.
    fn about_filters(&self, rest: &str, query: &str) -> Response<Full<Bytes>> {
        let asked = |key: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            // Names of filters have nothing in them that would be encoded.
            pairs.filter(|(found, _)| *found == key).map(|(_, value)| value).next()
        };
        match (rest, asked("name")) {
            ("" | "/", None) => json(StatusCode::OK, &self.filters()),
            ("" | "/", Some(name)) => self.filter(name),
            ("/traps", _) => {
                let traps = self.status.borrow().traps.json(asked("filter"));
                json(StatusCode::OK, &serde_json::json!({ "traps": traps }))
            }
            (path, _) => match path.strip_prefix('/') {
                Some(name) => self.filter(name),
                None => text(StatusCode::NOT_FOUND, INDEX),
            },
        }
    }

    fn filters(&self) -> Value {
        let status = self.status.borrow();
        let line = |filter: &FilterStatus| filter_page::line(filter, &self.process.registry);
        let filters: Vec<_> = status.filters.iter().map(line).collect();
        let problem = |Problem { file, error }: &Problem| serde_json::json!({ "file": file, "gate": error.gate.code(), "error": error.message });
        let problems: Vec<_> = status.problems.iter().map(problem).collect();
        serde_json::json!({ "filters": filters, "problems": problems })
    }

    fn filter(&self, name: &str) -> Response<Full<Bytes>> {
        let status = self.status.borrow();
        if let Some(filter) = status.filters.iter().find(|filter| filter.name == name) {
            let traps = status.traps.json(Some(name));
            return json(StatusCode::OK, &filter_page::page(filter, &self.process.registry, traps));
        }
        let known = status.filters.iter().map(|filter| filter.name.as_str());
        let help = gateway_config::suggestion(name, known, "there are");
        let name: String = name.chars().take(MAX_SHOWN_NAME).flat_map(char::escape_debug).collect();
        let help = help.map_or(String::new(), |help| format!("; {help}"));
        text(StatusCode::NOT_FOUND, format!("there is no filter `{name}`{help}\n"))
    }
}

fn json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    reply(status, "application/json", format!("{body:#}\n"))
}

/// An event as the admin API and the webhook show it.
pub(crate) fn event_json(event: &Told) -> Value {
    json!({
        "id": event.id,
        "time": rfc3339(event.at),
        "event": event.kind.code(),
        "filter": &*event.filter,
        "version": event.version.as_deref(),
        "reason": event.reason.as_deref(),
        "message": event.message,
    })
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Full<Bytes>> {
    reply(status, "text/plain; charset=utf-8", body.into())
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
