//! The admin API: reads only, so far. Its own listener on the control thread, apart from traffic.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
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
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::filter_page;
use super::filters::{FilterStatus, Problem, Waiting};
use super::reloads::Reloads;
use super::traps::TrapReports;
use super::upstreams::UpstreamStatus;
use crate::process::Process;
use crate::telemetry::{Gauge, families};

/// Admin connections at a time; a further one waits.
const MAX_CONNECTIONS: usize = 64;
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
    GET /filters/traps  how filters failed last, of one with ?filter=NAME (JSON)\n\
    GET /reloads    what the newest reloads changed, what they kept, how long they took, and errors (JSON)\n\
    GET /upstreams  upstreams with their endpoints, health, who is ejected, and requests under way (JSON)\n";

/// What the control thread tells the admin API.
#[derive(Default)]
pub(crate) struct Status {
    pub(crate) filters: Vec<FilterStatus>,
    pub(crate) problems: Vec<Problem>,
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
}

/// Opens the admin listener.
pub(crate) fn bind(address: SocketAddr) -> Result<StdListener, super::sockets::BindError> {
    super::sockets::bind_one("admin", address)
}

impl Admin {
    pub(crate) fn new(process: Arc<Process>, status: Rc<RefCell<Status>>) -> Rc<Self> {
        let uptime = process.registry.gauge(&families::SERVER_UPTIME, &[]);
        Rc::new(Self { process, status, uptime })
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
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let admin = self.clone();
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request| {
                    let answer = admin.answer(&request);
                    async { Ok::<_, Infallible>(answer) }
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
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "the admin API answers GET only\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        match request.uri().path() {
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
            path => match path.strip_prefix("/filters") {
                Some(rest) => self.about_filters(rest, request.uri().query().unwrap_or_default()),
                None => text(StatusCode::NOT_FOUND, INDEX),
            },
        }
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

    fn filters(&self) -> serde_json::Value {
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

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    reply(status, "application/json", format!("{body:#}\n"))
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
