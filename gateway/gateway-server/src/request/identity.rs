//! Headers by which the gateway tells the upstream who asks: what a client sends under these names is not believed.

use std::net::IpAddr;

use bytes::Bytes;
use gateway_config::Scheme;
use http::header::HOST;
use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::head::RequestHead;
use super::{Reason, RequestError, RequestRecord};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Sets `x-forwarded-for/-proto/-host` and `x-request-id`, and notes them for the access log.
pub(super) fn stamp(
    head: &mut RequestHead,
    record: &mut RequestRecord,
    forwarded_for: HeaderValue,
    scheme: Scheme,
) -> Result<(), RequestError> {
    let request_id = header(Uuid::new_v4().hyphenated().encode_lower(&mut Uuid::encode_buffer()))?;
    record.forwarded_for = Some(forwarded_for.clone());
    record.request_id = Some(request_id.clone());
    head.headers.insert(X_FORWARDED_FOR, forwarded_for);
    head.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
    head.headers.insert(X_REQUEST_ID, request_id);
    match head.headers.get(HOST).cloned() {
        Some(host) => head.headers.insert(X_FORWARDED_HOST, host),
        None => head.headers.remove(X_FORWARDED_HOST),
    };
    Ok(())
}

/// The address of a client as the upstream is told. An IPv4 client of a dual-stack listener is shown as IPv4.
pub(crate) fn forwarded_for(ip: IpAddr) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(ip.to_canonical().to_string())).ok()
}

fn header(text: &str) -> Result<HeaderValue, RequestError> {
    // Addresses and UUIDs are legal header values; the error keeps this total.
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(text.as_bytes()))
        .map_err(|_| RequestError::gateway(Reason::BadRequest))
}
