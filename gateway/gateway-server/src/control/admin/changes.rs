//! Changes over the admin interface: who may make them, and what they are.
//!
//! A change is a `POST` without a body. A page in a browser cannot make one: it cannot leave out `origin`, nor send the
//! token. Over TCP the host must be one that leads to this listener by itself, and the token must be right; over the Unix
//! socket the peer must be the gateway's user or root.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::oneshot;

use super::{Admin, reply, text, token};
use crate::control::Asked;
use crate::control::filters::{Change, ChangeError};
use crate::telemetry::families;

/// Sent by browsers, and by nothing else.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where a request came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Door {
    /// With the address that it was sent to.
    Tcp(SocketAddr),
    /// The peer is the gateway's user, or root.
    Socket,
}

/// Why a change was not even looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Denied {
    status: StatusCode,
    why: String,
}

/// The change that a path asks for, with its filter and version.
pub(super) fn change_of(path: &str, query: Option<&str>) -> Option<(Change, String, Option<String>)> {
    let (name, verb) = path.strip_prefix("/filters/")?.rsplit_once('/')?;
    let change = match verb {
        "rollback" => Change::Rollback,
        "promote" => Change::Promote,
        "pin" => Change::Pin,
        "unpin" => Change::Unpin,
        _ => return None,
    };
    let version =
        query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| pair.strip_prefix("version="));
    Some((change, name.to_owned(), version.filter(|version| !version.is_empty()).map(str::to_owned)))
}

impl Admin {
    /// Makes the change, or says why not.
    pub(super) async fn make(
        &self,
        request: &Request<Incoming>,
        door: Door,
        (change, filter, version): (Change, String, Option<String>),
    ) -> Response<Full<Bytes>> {
        if request.method() != Method::POST {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "changes are made by POST\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if let Err(denied) = self.admit(request, door) {
            self.count("denied");
            if self.denials.take() {
                tracing::warn!(%filter, ?change, "a change over the admin interface was denied: {}", denied.why);
            }
            let mut response = text(denied.status, format!("{}\n", denied.why));
            if denied.status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            return response;
        }
        let (answer, answered) = oneshot::channel();
        let asked = Asked { change, filter: filter.clone(), version, reply: answer };
        if self.asks.send(asked).await.is_err() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n");
        }
        match answered.await {
            Ok(Ok(done)) => {
                self.count("done");
                tracing::info!(%filter, ?change, "changed over the admin interface: {done}");
                let history = self.status.borrow().histories.get(&filter).cloned();
                let body = json!({ "done": done, "filter": filter, "versions": history });
                reply(StatusCode::OK, "application/json", format!("{body:#}\n"))
            }
            Ok(Err(error)) => {
                self.count("refused");
                let status = match error {
                    ChangeError::NoFilter(..) | ChangeError::NoVersion(..) => StatusCode::NOT_FOUND,
                    ChangeError::Ambiguous(..) => StatusCode::BAD_REQUEST,
                    ChangeError::Impossible(_) => StatusCode::CONFLICT,
                };
                text(status, format!("{error}\n"))
            }
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n"),
        }
    }

    fn count(&self, result: &str) {
        self.process.registry.counter(&families::ADMIN_CHANGES, &[result]).inc();
    }

    fn admit(&self, request: &Request<Incoming>, door: Door) -> Result<(), Denied> {
        let headers = request.headers();
        is_no_page(headers)?;
        if !request.body().is_end_stream() {
            return Err(denied(StatusCode::BAD_REQUEST, "a change has no body"));
        }
        let Door::Tcp(local) = door else { return Ok(()) };
        has_host(headers, local)?;
        let Some(path) = &self.token_file else {
            return Err(denied(
                StatusCode::FORBIDDEN,
                "no changes over TCP: set `admin.tokenFile`, or use `admin.socket`",
            ));
        };
        let given = bearer(headers).ok_or_else(|| {
            denied(StatusCode::UNAUTHORIZED, "a change needs the token: `authorization: Bearer TOKEN`")
        })?;
        match token::is_token(path, given) {
            Ok(true) => Ok(()),
            Ok(false) => Err(denied(StatusCode::UNAUTHORIZED, "that is not the token")),
            // The reason is for the log; whoever asks has shown nothing yet.
            Err(error) => {
                tracing::error!("{error}");
                Err(denied(
                    StatusCode::FORBIDDEN,
                    "no changes: the token file cannot be used; the log says why",
                ))
            }
        }
    }
}

fn denied(status: StatusCode, why: &str) -> Denied {
    Denied { status, why: why.to_owned() }
}

/// A page cannot leave these out, and nothing else sends them.
pub(super) fn is_no_page(headers: &HeaderMap) -> Result<(), Denied> {
    if headers.contains_key(ORIGIN) || headers.contains_key(FETCH_SITE) {
        return Err(denied(StatusCode::FORBIDDEN, "changes are not for pages in a browser"));
    }
    Ok(())
}

/// One host, which leads here by itself: a name that somebody else may resolve could be anybody's page.
pub(super) fn has_host(headers: &HeaderMap, local: SocketAddr) -> Result<(), Denied> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(denied(StatusCode::BAD_REQUEST, "a change needs exactly one host"));
    };
    let is_localhost =
        local.ip().is_loopback() && host.as_bytes() == format!("localhost:{}", local.port()).as_bytes();
    if is_localhost || host.as_bytes() == local.to_string().as_bytes() {
        return Ok(());
    }
    Err(denied(
        StatusCode::MISDIRECTED_REQUEST,
        &format!("changes are made at http://{local}, under no other name"),
    ))
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
