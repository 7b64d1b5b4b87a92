//! Headers by which the gateway tells the upstream who asks: what a client sends under these names is not believed, and
//! what a trusted peer sends is believed as far as its own list says who wrote it.
//!
//! Whatever comes of it is one client address: for routes, filters, header edits, the access log and upstreams alike.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use gateway_config::{ClientCertHeader, Identity, Scheme};
use gateway_wire::authority;
use gateway_wire::forwarded::{self, Origin, Trust};
use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::claims::{is_claim, is_never_believed};
use super::{Exchange, Reason, RequestError, RequestHead};
use crate::worker::ClientConnection;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Longest request id that is taken from a trusted peer, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// What a trusted peer says about a request, as far as it is believed.
pub(crate) struct Believed {
    pub(crate) client: SocketAddr,
    /// The same as text, for access lines.
    pub(crate) client_text: String,
    /// The address alone, as header edits fill it in.
    pub(crate) client_ip: HeaderValue,
    /// How the client connected to the first proxy.
    pub(crate) scheme: Option<Scheme>,
}

/// Sets `x-forwarded-for/-proto/-host` and `x-request-id`, and notes them for the access log. All else that claims who asks
/// is gone after this, unless a trusted peer has sent it.
pub(super) fn stamp(exchange: &mut Exchange, head: &mut RequestHead) -> Result<(), RequestError> {
    let connection = exchange.connection.clone();
    let headers = &mut head.headers;
    if headers.keys().any(|name| is_claim(name.as_str())) {
        drop_claims(headers, connection.is_trusted);
    }
    let (mut forwarded_for, mut request_id, mut host) = (connection.forwarded_for.clone(), None, None);
    if connection.is_trusted {
        let outcome = believe(&connection, headers)?;
        forwarded_for = outcome.forwarded_for;
        (request_id, host) = (outcome.request_id, outcome.host);
        exchange.record.believed = outcome.believed;
    }
    tell_of_certificate(&connection, headers);
    let request_id = match request_id {
        Some(request_id) => request_id,
        None => header(Uuid::new_v4().hyphenated().encode_lower(&mut Uuid::encode_buffer()))?,
    };
    exchange.record.forwarded_for = Some(forwarded_for.clone());
    exchange.record.request_id = Some(request_id.clone());
    headers.insert(X_FORWARDED_FOR, forwarded_for);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(exchange.scheme().as_str()));
    headers.insert(X_REQUEST_ID, request_id);
    match host.or_else(|| headers.get(HOST).cloned()) {
        Some(host) => headers.insert(X_FORWARDED_HOST, host),
        None => headers.remove(X_FORWARDED_HOST),
    };
    Ok(())
}

/// The address of a client as the upstream is told. An IPv4 client of a dual-stack listener is shown as IPv4.
pub(crate) fn forwarded_for(ip: IpAddr) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(ip.to_canonical().to_string())).ok()
}

/// Whether what a peer says about its clients is believed.
pub(crate) fn is_trusted(identity: &Identity, peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    identity.trusted_peers.iter().any(|network| network.contains(&peer))
}

/// Drops what claims to know who asks; of a trusted peer only what nobody is believed.
fn drop_claims(headers: &mut HeaderMap, is_trusted: bool) {
    let is_dropped = |name: &str| if is_trusted { is_never_believed(name) } else { is_claim(name) };
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// What came of a trusted peer's word.
struct Outcome {
    /// The list that goes on: from the client to the peer.
    forwarded_for: HeaderValue,
    request_id: Option<HeaderValue>,
    host: Option<HeaderValue>,
    believed: Option<Box<Believed>>,
}

fn believe(connection: &ClientConnection, headers: &mut HeaderMap) -> Result<Outcome, RequestError> {
    let identity = &connection.listener.identity;
    let trusted = |address: IpAddr| is_trusted(identity, address);
    let trust = match identity.trusted_hops {
        Some(hops) => Trust::Hops(hops),
        None => Trust::Addresses(trusted),
    };
    let (list, forwarded_list) = (joined(headers, &X_FORWARDED_FOR), joined(headers, &FORWARDED));
    let (origin, is_forwarded) = match (&list, &forwarded_list) {
        (None, Some(list)) => {
            let origin = forwarded::forwarded(list, &trust);
            (origin.map_err(|_| RequestError::client(Reason::BadRequest))?, true)
        }
        (list, _) => (list.as_deref().and_then(|list| forwarded::x_forwarded_for(list, &trust)), false),
    };
    headers.remove(FORWARDED);
    if let (Some(origin), true) = (&origin, is_forwarded) {
        headers
            .insert(FORWARDED, header(&format!("{}, for={}", origin.believed, node(connection.peer.ip())))?);
    }
    let scheme = match single(headers, &X_FORWARDED_PROTO) {
        Some(value) if value.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
        Some(value) if value.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
        _ => None,
    };
    let client = origin
        .map_or(connection.peer, |origin| SocketAddr::new(origin.address, origin.port.unwrap_or_default()));
    let client_ip = header(&client.ip().to_string())?;
    let forwarded_for = match &origin {
        Some(Origin { believed, .. }) if !is_forwarded => {
            header(&format!("{believed}, {}", connection.peer.ip()))?
        }
        Some(_) => header(&format!("{}, {}", client.ip(), connection.peer.ip()))?,
        None => connection.forwarded_for.clone(),
    };
    if headers.contains_key(X_REAL_IP) {
        headers.insert(X_REAL_IP, client_ip.clone());
    }
    let is_port = |value: &[u8]| std::str::from_utf8(value).is_ok_and(|text| text.parse::<u16>().is_ok());
    if !single(headers, &X_FORWARDED_PORT).is_some_and(is_port) {
        headers.remove(X_FORWARDED_PORT);
    }
    let is_id = |value: &&[u8]| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
    };
    let kept = |name: &HeaderName, is_legal: bool| if is_legal { headers.get(name).cloned() } else { None };
    Ok(Outcome {
        forwarded_for,
        request_id: kept(&X_REQUEST_ID, single(headers, &X_REQUEST_ID).as_ref().is_some_and(is_id)),
        host: kept(&X_FORWARDED_HOST, single(headers, &X_FORWARDED_HOST).is_some_and(authority::is_valid)),
        believed: Some(Box::new(Believed { client_text: client.to_string(), client, client_ip, scheme })),
    })
}

/// `x-forwarded-client-cert`, as the listener says.
fn tell_of_certificate(connection: &ClientConnection, headers: &mut HeaderMap) {
    let policy = connection.listener.identity.client_cert_header;
    let own = || connection.tls.get()?.peer.as_ref()?.forwarded.clone();
    match policy {
        // Of those who are not trusted it is gone by now.
        ClientCertHeader::Drop if connection.is_trusted => drop(headers.remove(X_FORWARDED_CLIENT_CERT)),
        ClientCertHeader::Drop | ClientCertHeader::Forward => {}
        ClientCertHeader::Set => {
            headers.remove(X_FORWARDED_CLIENT_CERT);
            headers.extend(own().map(|own| (X_FORWARDED_CLIENT_CERT, own)));
        }
        ClientCertHeader::Append => {
            if let Some(own) = own() {
                headers.append(X_FORWARDED_CLIENT_CERT, own);
            }
        }
    }
}

/// Several lines of one list (RFC 9110, section 5.3). Bytes that are no text stay recognisably none: what a stranger wrote in
/// front must not hide what follows.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| String::from_utf8_lossy(&lines.join(&b", "[..])).into_owned())
}

/// The value of a header that is there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// An address as `Forwarded` has it (RFC 7239, section 6).
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

fn header(text: &str) -> Result<HeaderValue, RequestError> {
    // Addresses, UUIDs and parts of legal values are legal header values; the error keeps this total.
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(text.as_bytes()))
        .map_err(|_| RequestError::gateway(Reason::BadRequest))
}
