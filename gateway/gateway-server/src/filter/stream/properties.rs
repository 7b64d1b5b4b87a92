//! Properties that the gateway answers, in the wire forms that Envoy uses (integers as 8 bytes little-endian, times as
//! nanoseconds, strings as they are).

use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use proxy_wasm_host::Status;

use super::StreamState;
use crate::tls::ConnectionTls;

/// Appends the value of `path`.
pub(super) fn write(stream: &StreamState, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    match path {
        [b"request", rest @ ..] => request(stream, rest, out),
        [b"response", rest @ ..] => response(stream, rest, out),
        [b"source", rest @ ..] => address(Some(stream.facts.client), rest, out),
        [b"destination", rest @ ..] => address(Some(stream.facts.local), rest, out),
        [b"upstream", rest @ ..] => address(stream.upstream_address, rest, out),
        [b"connection", b"id"] | [b"connection_id"] => integer(stream.facts.connection_id, out),
        [b"connection", rest @ ..] => connection(stream.facts.tls.as_deref(), rest, out),
        [b"listener_name"] | [b"xds", b"filter_chain_name"] => text(&stream.facts.listener, out),
        [b"route_name"] | [b"xds", b"route_name"] => text(known(stream.route_name.as_ref())?, out),
        [b"cluster_name"] | [b"xds", b"cluster_name"] => text(known(stream.upstream_name.as_ref())?, out),
        [] => Err(Status::SerializationFailure),
        _ => Err(Status::NotFound),
    }
}

fn connection(tls: Option<&ConnectionTls>, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    let peer = || known(tls.and_then(|tls| tls.peer.as_ref()));
    match path {
        [b"mtls"] => {
            out.push(u8::from(peer().is_ok()));
            Ok(())
        }
        [b"tls_version"] => text(known(tls)?.version, out),
        [b"requested_server_name"] => text(known(known(tls)?.server_name.as_deref())?, out),
        [b"uri_san_peer_certificate"] => text(known(peer()?.uri_san.as_deref())?, out),
        [b"subject_peer_certificate"] => text(&peer()?.subject, out),
        [] => Err(Status::SerializationFailure),
        _ => Err(Status::NotFound),
    }
}

fn request(stream: &StreamState, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    let header = |name: HeaderName| stream.request_headers.get(name);
    match path {
        [b"path"] => text(stream.path.as_str(), out),
        [b"url_path"] => text(stream.path.path(), out),
        [b"query"] => text(known(stream.path.query())?, out),
        [b"method"] => text(stream.method.as_str(), out),
        [b"scheme"] => text(stream.facts.scheme(), out),
        [b"host"] => value(stream.host(), out),
        [b"referer"] => value(header(http::header::REFERER), out),
        [b"useragent"] => value(header(http::header::USER_AGENT), out),
        [b"id"] => value(header(HeaderName::from_static("x-request-id")), out),
        [b"protocol"] => text(protocol(stream.facts.version), out),
        [b"time"] => {
            let since_epoch = stream.facts.started.duration_since(UNIX_EPOCH).unwrap_or_default();
            integer(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX), out)
        }
        [b"duration"] => {
            let elapsed = stream.facts.started.elapsed().unwrap_or_default();
            integer(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), out)
        }
        [b"size"] => {
            let length =
                header(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            integer(length.unwrap_or(stream.request_body.as_slice().len() as u64), out)
        }
        [b"headers"] => map(&stream.request_headers, out),
        [b"headers", name] => one_header(&stream.request_headers, name, out),
        [] => Err(Status::SerializationFailure),
        _ => Err(Status::NotFound),
    }
}

fn response(stream: &StreamState, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    let status = stream.status.ok_or(Status::NotFound);
    match path {
        [b"code"] => integer(u64::from(status?.as_u16()), out),
        [b"headers"] => status.and_then(|_| map(&stream.response_headers, out)),
        [b"headers", name] => status.and_then(|_| one_header(&stream.response_headers, name, out)),
        [b"trailers"] => map(known(stream.response_trailers.as_ref())?, out),
        [b"grpc_status"] => {
            let trailers = stream.response_trailers.as_ref().and_then(|t| t.get("grpc-status"));
            let code = trailers.or_else(|| stream.response_headers.get("grpc-status"));
            integer(known(code.and_then(|value| value.to_str().ok()?.parse().ok()))?, out)
        }
        [] => Err(Status::SerializationFailure),
        _ => Err(Status::NotFound),
    }
}

fn address(address: Option<SocketAddr>, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    match path {
        [b"address"] => text(&known(address)?.to_string(), out),
        [b"port"] => integer(u64::from(known(address)?.port()), out),
        [] => Err(Status::SerializationFailure),
        _ => Err(Status::NotFound),
    }
}

pub(crate) const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn known<T>(value: Option<T>) -> Result<T, Status> {
    value.ok_or(Status::NotFound)
}

fn text(value: &str, out: &mut Vec<u8>) -> Result<(), Status> {
    out.extend_from_slice(value.as_bytes());
    Ok(())
}

fn value(value: Option<&HeaderValue>, out: &mut Vec<u8>) -> Result<(), Status> {
    out.extend_from_slice(known(value)?.as_bytes());
    Ok(())
}

fn integer(value: u64, out: &mut Vec<u8>) -> Result<(), Status> {
    out.extend_from_slice(&value.to_le_bytes());
    Ok(())
}

fn one_header(headers: &HeaderMap, name: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    let name = HeaderName::from_bytes(name).map_err(|_| Status::NotFound)?;
    value(headers.get(name), out)
}

fn map(headers: &HeaderMap, out: &mut Vec<u8>) -> Result<(), Status> {
    proxy_wasm_host::pairs::encode_visited(out, |visit| {
        headers.iter().for_each(|(name, value)| visit(name.as_str().as_bytes(), value.as_bytes()));
        Ok(())
    })
}
