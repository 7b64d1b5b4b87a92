//! Properties that the gateway answers, in the wire forms that Envoy uses (integers as 8 bytes little-endian, times as
//! nanoseconds, strings as they are).

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

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
        [b"upstream", b"request_attempt_count"] => {
            integer(known((stream.attempts > 0).then_some(u64::from(stream.attempts)))?, out)
        }
        [b"upstream", rest @ ..] => address(stream.upstream_address, rest, out),
        [b"connection", b"id"] | [b"connection_id"] => integer(stream.facts.connection_id, out),
        [b"connection", rest @ ..] => connection(stream.facts.tls.as_deref(), rest, out),
        // Traffic comes in: Envoy's number for it.
        [b"listener_direction"] | [b"xds", b"listener_direction"] => integer(1, out),
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
        [b"duration"] => nanoseconds(known(stream.end)?.duration, out),
        [b"total_size"] => {
            let received = stream.end.map_or(0, |end| end.bytes_received);
            // Names and values of pseudo-headers count as those of others.
            let pseudo = ":path:method:scheme".len()
                + stream.path.as_str().len()
                + stream.method.as_str().len()
                + stream.facts.scheme().len();
            integer(received + pseudo as u64 + size(&stream.request_headers), out)
        }
        [b"size"] => {
            let length =
                header(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            let seen = stream.request_body.as_slice().len() as u64;
            integer(length.or(stream.end.map(|end| end.bytes_received)).unwrap_or(seen), out)
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
        [b"size"] => integer(known(stream.end)?.bytes_sent, out),
        [b"total_size"] => {
            let trailers = stream.response_trailers.as_ref().map_or(0, size);
            let head = ":status200".len() as u64 + size(&stream.response_headers);
            integer(known(stream.end)?.bytes_sent + head + trailers, out)
        }
        [b"flags"] => integer(flags(known(stream.end)?.flag), out),
        [b"code_details"] => text(known(stream.end)?.details, out),
        [b"backend_latency"] => nanoseconds(known(stream.upstream_time)?, out),
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

/// Envoy's numbers of response flags, as bits.
fn flags(flag: &str) -> u64 {
    const NAMES: [&str; 28] = [
        "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
        "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO",
    ];
    NAMES.iter().position(|name| *name == flag).map_or(0, |bit| 1 << bit)
}

fn size(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum()
}

fn nanoseconds(duration: Duration, out: &mut Vec<u8>) -> Result<(), Status> {
    integer(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), out)
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
