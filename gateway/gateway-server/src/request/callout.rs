//! HTTP callouts of filters: a small request to a named upstream, its whole answer back.
//!
//! Failures arrive as responses, as Envoy gives them: 503 when the upstream cannot be reached or breaks off, 504 when
//! it takes too long.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use hyper::body::Incoming;
use proxy_wasm_host::{CallAnswer, HttpCall};

use super::fixed::announce_trailers;
use super::head::RequestHead;
use super::{Reason, RequestError, send};
use crate::body::{BodySource, TrailedBody, UploadProgress, UpstreamBody};
use crate::upstream::{Lease, Tried};
use crate::worker::Worker;

/// Body of an answer that a filter may receive; over it the call fails with 503.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Makes the call. Always returns an answer.
pub(crate) async fn call_out(worker: &Rc<Worker>, call: HttpCall, timeout: Duration) -> CallAnswer {
    let state = worker.state();
    let Some(upstream) = state.upstreams.iter().find(|upstream| *upstream.name == call.upstream).cloned()
    else {
        return synthetic("503", "the upstream is gone");
    };
    let Some((mut head, body)) = to_request(&call) else { return synthetic("503", "the call is malformed") };
    let exchange = async {
        let (response, lease) = send::send(&upstream, &mut head, body, &mut Tried::default()).await?;
        read_answer(response, lease).await
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => synthetic("503", error.reason.explanation().trim_end()),
        Err(_) => synthetic("504", "the upstream took too long"),
    }
}

fn to_request(call: &HttpCall) -> Option<(RequestHead, UpstreamBody)> {
    let mut headers = HeaderMap::with_capacity(call.headers.len());
    let (mut method, mut path) = (Method::GET, PathAndQuery::from_static("/"));
    for (name, value) in &call.headers {
        match name.as_slice() {
            b":method" => method = Method::from_bytes(value).ok()?,
            b":path" => path = PathAndQuery::try_from(value.as_slice()).ok()?,
            b":authority" => {
                headers.insert(HOST, HeaderValue::from_bytes(value).ok()?);
            }
            // The same as `:authority`.
            [b':', ..] | b"host" => {}
            name => {
                headers.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
            }
        }
    }
    super::head::strip_connection_headers(&mut headers).ok()?;
    let body = Bytes::copy_from_slice(&call.body);
    headers.remove(CONTENT_LENGTH);
    let source = if !call.trailers.is_empty() {
        let trailers = trailers(&call.trailers)?;
        announce_trailers(&trailers, &mut headers);
        BodySource::Trailed(Box::new(TrailedBody::new(body, trailers)))
    } else if body.is_empty() {
        BodySource::Empty
    } else {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        BodySource::Full(body)
    };
    let body = match source {
        BodySource::Empty => UpstreamBody::empty(),
        source => UpstreamBody::new(source, Rc::new(UploadProgress::default())),
    };
    Some((RequestHead { method, path, headers, interim: None }, body))
}

fn trailers(lines: &Pairs) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::with_capacity(lines.len());
    for (name, value) in lines {
        trailers.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(trailers)
}

async fn read_answer(response: Response<Incoming>, mut lease: Lease) -> Result<CallAnswer, RequestError> {
    let (parts, incoming) = response.into_parts();
    let mut source = BodySource::Upstream(incoming, lease.driver.take());
    let mut headers: Pairs = vec![(b":status".to_vec(), parts.status.as_str().as_bytes().to_vec())];
    headers.extend(pairs(&parts.headers));
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    while let Some(frame) = poll_fn(|context| source.poll_frame(context)).await {
        let frame = frame.map_err(|_| RequestError::upstream(Reason::UpstreamReset))?;
        match frame.into_data() {
            Ok(bytes) if body.len() + bytes.len() > MAX_ANSWER_BYTES => {
                return Err(RequestError::upstream(Reason::UpstreamProtocol));
            }
            Ok(bytes) => body.extend_from_slice(&bytes),
            Err(frame) => {
                trailers = crate::body::into_trailers(frame).map(|map| pairs(&map)).unwrap_or_default()
            }
        }
    }
    lease.driver = source.take_driver();
    lease.release(Instant::now());
    Ok(CallAnswer { headers, body, trailers })
}

fn pairs(headers: &HeaderMap) -> Pairs {
    headers.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())).collect()
}

fn synthetic(status: &str, body: &str) -> CallAnswer {
    let header = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    CallAnswer {
        headers: vec![
            header(":status", status),
            header("content-length", &body.len().to_string()),
            header("content-type", "text/plain"),
        ],
        body: body.as_bytes().to_vec(),
        trailers: Vec::new(),
    }
}
