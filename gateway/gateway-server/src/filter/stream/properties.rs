//! Properties that the gateway answers, in the wire forms that Envoy uses (integers as 8 bytes little-endian, times as
//! nanoseconds, strings as they are).

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use proxy_wasm_host::{Status, StreamAccess, StreamMap};

use super::StreamState;
use crate::tls::{ConnectionTls, Peer};
use crate::upstream::UpstreamTls;

/// Of a response that the upstream gave.
const VIA_UPSTREAM: &str = "via_upstream";
/// What the gateway calls itself where Envoy tells its own name.
const USER_AGENT: &str = "gateway";

/// Appends the value of `path`.
pub(super) fn write(stream: &StreamState, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    match path {
        [b"request", rest @ ..] => request(stream, rest, out),
        [b"response", rest @ ..] => response(stream, rest, out),
        [b"source", rest @ ..] => address(Some(stream.facts.client), rest, out),
        [b"destination", rest @ ..] => address(Some(stream.facts.local), rest, out),
        [b"upstream", rest @ ..] => upstream(stream, rest, out),
        [b"connection", b"id"] | [b"connection_id"] => integer(stream.facts.connection_id, out),
        [b"connection", rest @ ..] => connection(stream.facts.tls.as_deref(), rest, out),
        [b"metadata", rest @ ..] => metadata(rest, out),
        [b"filter_state"] | [] => Err(Status::SerializationFailure),
        // Exists once there is an upstream, and never holds anything.
        [b"upstream_filter_state"] => unwritable(known(stream.upstream_address)?),
        [b"xds", rest @ ..] => xds(stream, rest, out),
        // Names from before there was `xds`.
        [
            b"node"
            | b"cluster_name"
            | b"cluster_metadata"
            | b"route_name"
            | b"route_metadata"
            | b"listener_name"
            | b"listener_direction"
            | b"listener_metadata"
            | b"upstream_host_metadata",
            ..,
        ] => xds(stream, path, out),
        _ => Err(Status::NotFound),
    }
}

fn xds(stream: &StreamState, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    match path {
        [b"node", rest @ ..] => node(rest, out),
        [b"cluster_name"] => text(known(stream.upstream_name.as_ref())?, out),
        [b"cluster_metadata", rest @ ..] => {
            known(stream.upstream_name.as_ref()).and_then(|_| metadata(rest, out))
        }
        [b"route_name"] => text(known(stream.route_name.as_ref())?, out),
        [b"route_metadata", rest @ ..] => known(stream.route_name.as_ref()).and_then(|_| metadata(rest, out)),
        [b"listener_name" | b"filter_chain_name"] => text(&stream.facts.listener, out),
        // Traffic comes in: Envoy's number for it.
        [b"listener_direction"] => integer(1, out),
        [b"listener_metadata", rest @ ..] => metadata(rest, out),
        // As in Envoy: they exist once there is an upstream's host, which here has none.
        [b"upstream_host_metadata" | b"upstream_host_locality_metadata"] => {
            unwritable(known(stream.upstream_address)?)
        }
        [] => Err(Status::SerializationFailure),
        _ => Err(Status::NotFound),
    }
}

/// Configuration here has no metadata: an empty message (`envoy.config.core.v3.Metadata`), whose map is empty.
fn metadata(path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    match path {
        [] => Ok(()),
        [b"filter_metadata" | b"typed_filter_metadata"] => empty_map(out),
        _ => Err(Status::NotFound),
    }
}

/// Who this is (`envoy.config.core.v3.Node`). Nodes of a mesh have an id, a cluster and a place; this one has none.
pub(in crate::filter) fn node(path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let mut field = |number: u8, value: &str| {
        // Both values are short: their lengths are one byte (Protocol Buffers, "Length-Delimited Records").
        out.extend_from_slice(&[number << 3 | 2, value.len() as u8]);
        out.extend_from_slice(value.as_bytes());
    };
    match path {
        [] => {
            field(6, USER_AGENT);
            field(7, VERSION);
            Ok(())
        }
        [b"id" | b"cluster" | b"locality"] | [b"locality", b"region" | b"zone" | b"sub_zone"] => Ok(()),
        [b"metadata"] => empty_map(out),
        [b"user_agent_name"] => text(USER_AGENT, out),
        [b"user_agent_version"] => text(VERSION, out),
        _ => Err(Status::NotFound),
    }
}

fn connection(tls: Option<&ConnectionTls>, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    let peer = || known(tls.and_then(|tls| tls.peer.as_ref()));
    let own = || known(tls.and_then(ConnectionTls::own));
    match path {
        [b"mtls"] => {
            out.push(u8::from(peer().is_ok()));
            Ok(())
        }
        [b"requested_server_name"] => text(tls.and_then(|tls| tls.server_name.as_deref()).unwrap_or(""), out),
        [b"tls_version"] => text(known(tls)?.version, out),
        [b"subject_local_certificate"] => text(&own()?.subject, out),
        [b"uri_san_local_certificate"] => text(known(own()?.uri_san.as_deref())?, out),
        [b"dns_san_local_certificate"] => text(known(own()?.dns_san.as_deref())?, out),
        [] => Err(Status::SerializationFailure),
        // `termination_details` and `transport_failure_reason` are of no certificate: a connection that ends so has no
        // streams.
        [name] => certificate(peer().ok(), name, out),
        _ => Err(Status::NotFound),
    }
}

fn upstream(stream: &StreamState, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    let ends = stream.upstream_ends.as_deref();
    let tls = ends.and_then(|ends| ends.tls.as_ref());
    match path {
        [b"request_attempt_count"] => integer(u64::from(stream.attempts), out),
        [b"transport_failure_reason"] => match (&stream.upstream_failure, stream.upstream_address) {
            (Some(failure), _) => text(failure, out),
            (None, address) => known(address).map(|_| ()),
        },
        [b"local_address"] => text(&known(ends.and_then(|ends| ends.local))?.to_string(), out),
        [b"tls_version"] => text(known(tls)?.version, out),
        [] | [b"address" | b"port"] => address(stream.upstream_address, path, out),
        [name] => certificate(tls.and_then(UpstreamTls::peer).as_ref(), name, out),
        _ => Err(Status::NotFound),
    }
}

/// What the other end proved, by Envoy's names.
fn certificate(peer: Option<&Peer>, name: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    let peer = known(peer)?;
    match name {
        b"subject_peer_certificate" => text(&peer.subject, out),
        b"uri_san_peer_certificate" => text(known(peer.uri_san.as_deref())?, out),
        b"dns_san_peer_certificate" => text(known(peer.dns_san.as_deref())?, out),
        b"sha256_peer_certificate_digest" => text(&peer.sha256, out),
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
        [b"headers"] => map(stream, StreamMap::RequestHeaders, out),
        [b"headers", name] => one_header(stream, StreamMap::RequestHeaders, name, out),
        [] => Err(Status::SerializationFailure),
        _ => Err(Status::NotFound),
    }
}

fn response(stream: &StreamState, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
    match path {
        [b"size"] => integer(stream.end.map_or(0, |end| end.bytes_sent), out),
        [b"total_size"] => {
            let trailers = stream.response_trailers.as_ref().map_or(0, size);
            let head =
                stream.status.map_or(0, |_| ":status200".len() as u64 + size(&stream.response_headers));
            integer(stream.end.map_or(0, |end| end.bytes_sent) + head + trailers, out)
        }
        [b"flags"] => integer(stream.end.map_or(0, |end| flags(end.flag)), out),
        [b"code_details"] => {
            let so_far = stream.upstream_time.map(|_| VIA_UPSTREAM);
            text(known(stream.end.map(|end| end.details).or(so_far))?, out)
        }
        [b"backend_latency"] => nanoseconds(known(stream.upstream_time)?, out),
        [b"code"] => integer(u64::from(known(stream.status)?.as_u16()), out),
        // Empty before they are there, as in Envoy.
        [b"headers"] if stream.status.is_none() => empty_map(out),
        [b"headers"] => map(stream, StreamMap::ResponseHeaders, out),
        [b"headers", name] => one_header(stream, StreamMap::ResponseHeaders, name, out),
        [b"trailers"] if stream.response_trailers.is_none() => empty_map(out),
        [b"trailers"] => map(stream, StreamMap::ResponseTrailers, out),
        [b"trailers", name] => one_header(stream, StreamMap::ResponseTrailers, name, out),
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

/// For what exists and has no form to be told in.
fn unwritable<T>(_there: T) -> Result<(), Status> {
    Err(Status::SerializationFailure)
}

fn empty_map(out: &mut Vec<u8>) -> Result<(), Status> {
    out.extend_from_slice(&0_u32.to_le_bytes());
    Ok(())
}

fn one_header(stream: &StreamState, map: StreamMap, name: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    let name = name.to_ascii_lowercase();
    let found = stream.header(map, &name).map_err(|_| Status::NotFound)?;
    out.extend_from_slice(known(found)?);
    Ok(())
}

fn map(stream: &StreamState, map: StreamMap, out: &mut Vec<u8>) -> Result<(), Status> {
    proxy_wasm_host::pairs::encode_visited(out, |visit| stream.visit_headers(map, visit))
}
