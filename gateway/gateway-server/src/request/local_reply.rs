//! Answers: the upstream's, and those that the gateway, a route or a filter gives in its place.

use bytes::Bytes;
use gateway_config::DirectResponse;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proxy_wasm_host::LocalReply;

use super::{Exchange, Reason, RequestError, RequestRecord, grpc};
use crate::body::BodySource;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A response that is not yet on its way.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: BodySource,
    /// The body length that its author declared.
    pub(crate) declared_length: Option<u64>,
    /// Why it is not the upstream's.
    pub(crate) reason: Option<Reason>,
}

impl Answer {
    pub(crate) fn from_error(error: &RequestError, exchange: &Exchange) -> Self {
        let (reason, record) = (error.reason, &exchange.record);
        let text = Bytes::from_static(reason.explanation().as_bytes());
        // A body that a filter stopped has no room for the status.
        let of_policy = || {
            let chain = exchange.chain.as_ref().filter(|_| reason.is_filter_failure());
            chain.and_then(|chain| chain.failure_status())
        };
        let status = error.own_status().or_else(of_policy).unwrap_or_else(|| reason.status());
        Self::local(status, HeaderMap::new(), text, reason, record.is_head()).told_to(record, None)
    }

    pub(crate) fn direct(direct: &DirectResponse, record: &RequestRecord) -> Self {
        // Statuses of the configuration are valid; the fallback keeps this total.
        let status = StatusCode::from_u16(direct.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        headers.extend(direct.content_type.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))));
        let body = Bytes::from_owner(direct.body.clone());
        let answer = Self::local(status, headers, body, Reason::DirectResponse, record.is_head());
        if status.as_u16() < 400 { answer } else { answer.told_to(record, None) }
    }

    pub(crate) fn redirect(status: u16, location: HeaderValue, is_head: bool) -> Self {
        // Statuses of the configuration are valid; the fallback keeps this total.
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location);
        Self::local(status, headers, Bytes::new(), Reason::Redirect, is_head)
    }

    pub(crate) fn preflight(headers: HeaderMap) -> Self {
        Self::local(StatusCode::NO_CONTENT, headers, Bytes::new(), Reason::CorsPreflight, false)
    }

    /// What a filter wants the client to get. Framing and connection headers among its own are not believed.
    pub(crate) fn from_filter(reply: LocalReply, exchange: &Exchange) -> Self {
        let mut headers = HeaderMap::with_capacity(reply.headers.len() + 2);
        for (name, value) in &reply.headers {
            let entry = HeaderName::from_bytes(name).ok().zip(HeaderValue::from_bytes(value).ok());
            match entry {
                Some((name, _)) if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) => {}
                Some((name, value)) => {
                    headers.append(name, value);
                }
                None => tracing::debug!("illegal header in a filter's reply dropped"),
            }
        }
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let record = &exchange.record;
        Self::local(status, headers, Bytes::from(reply.body), Reason::FilterReply, record.is_head())
            .told_to(record, reply.grpc_status)
    }

    /// The same answer for whoever asked; `grpc_status` is what its author wants the client of a call to get.
    fn told_to(self, record: &RequestRecord, grpc_status: Option<u32>) -> Self {
        if record.is_grpc { grpc::told_to_caller(self, grpc_status) } else { self }
    }

    /// Whether, where there are no chunks, only the end of the connection can tell where the body ends.
    pub(crate) fn ends_with_connection(&self) -> bool {
        !self.body.is_end_stream() && !self.headers.contains_key(CONTENT_LENGTH)
    }

    fn local(status: StatusCode, mut headers: HeaderMap, body: Bytes, reason: Reason, is_head: bool) -> Self {
        let has_no_body = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let body = if has_no_body { Bytes::new() } else { body };
        if !body.is_empty() {
            headers.entry(CONTENT_TYPE).or_insert(TEXT);
        }
        if !has_no_body {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let declared_length = (!has_no_body).then_some(body.len() as u64);
        // HEAD has the header of the body and no body (RFC 9110, section 9.3.2).
        let body = if is_head || body.is_empty() { BodySource::Empty } else { BodySource::Full(body) };
        Self { status, headers, body, declared_length, reason: Some(reason) }
    }
}
