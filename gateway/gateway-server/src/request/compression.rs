//! Which responses are compressed, in which coding, and what their heads say then (RFC 9110, sections 8.4 and 12.5.3).
//!
//! Pure: headers in, decision and headers out. The bytes are `body::compressed`'s.

use gateway_config::{Coding, Compression};
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::head::content_length;
use super::local_reply::Answer;
use crate::body::{BodySource, CompressedBody};

/// Checksums of the bytes as they are sent: other bytes would not fit them.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];
/// Its messages are framed, and compressed, by its own rules.
const GRPC: &[u8] = b"application/grpc";
/// Weights are counted in thousandths (RFC 9110, section 12.4.2).
const FULL_WEIGHT: u16 = 1000;

/// The coding that the client likes best among those that are offered; `None` if that is none at all.
pub(super) fn choose(compression: &Compression, request: &HeaderMap) -> Option<Coding> {
    if says_no_transform(request) {
        return None;
    }
    let weights = Weights::of(request);
    let mut best: Option<(Coding, u16)> = None;
    for &coding in &compression.codings {
        let weight = weights.of_coding(coding);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((coding, weight));
        }
    }
    // One that says that it prefers the bytes as they are gets them.
    best.filter(|(_, weight)| weights.identity.is_none_or(|identity| identity <= *weight)).map(|best| best.0)
}

/// Compresses the body of an answer where it can be, and says so in its head.
pub(super) fn apply(compression: &Compression, coding: Option<Coding>, is_head: bool, answer: &mut Answer) {
    if answer.status == StatusCode::NOT_MODIFIED {
        return revalidated(coding, &mut answer.headers);
    }
    if !is_compressible(compression, answer.status, &answer.headers) {
        return;
    }
    vary(&mut answer.headers);
    let Some(coding) = coding else { return };
    if is_head || answer.body.is_end_stream() {
        return;
    }
    let length_bytes = content_length(&answer.headers);
    match CompressedBody::new(coding, length_bytes, std::mem::take(&mut answer.body)) {
        Ok(compressed) => answer.body = BodySource::Compressed(Box::new(compressed)),
        Err(source) => {
            answer.body = source;
            return;
        }
    }
    answer.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    answer.headers.remove(CONTENT_LENGTH);
    // Ranges would be those of other bytes.
    answer.headers.remove(ACCEPT_RANGES);
    weaken(&mut answer.headers);
}

/// Whether the answer would be compressed for some client.
fn is_compressible(compression: &Compression, status: StatusCode, headers: &HeaderMap) -> bool {
    let has_no_body = status.is_informational()
        || [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::PARTIAL_CONTENT].contains(&status);
    if has_no_body || says_no_transform(headers) {
        return false;
    }
    let is_encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(is_encoded)
        || DIGESTS.iter().any(|name| headers.contains_key(name))
    {
        return false;
    }
    if content_length(headers).is_some_and(|length| length < compression.min_bytes.max(1)) {
        return false;
    }
    let Some(essence) = headers.get(CONTENT_TYPE).map(essence) else { return false };
    let is_grpc = essence.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    !is_grpc && compression.types.iter().any(|range| range.matches(essence))
}

/// A content type without its parameters.
fn essence(content_type: &HeaderValue) -> &[u8] {
    content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// What is said with 304 must fit what was said with the response that a cache has. Which one that is nobody knows here;
/// a weak tag fits both.
fn revalidated(coding: Option<Coding>, headers: &mut HeaderMap) {
    vary(headers);
    if coding.is_some() {
        weaken(headers);
    }
}

/// The tag stands for the meaning from now on, not for the bytes (RFC 9110, section 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")) else { return };
    let weak = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat());
    match weak {
        Ok(weak) => headers.insert(ETAG, weak),
        Err(_) => headers.remove(ETAG),
    };
}

fn vary(headers: &mut HeaderMap) {
    let names = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str().as_bytes());
    if !headers.get_all(VARY).iter().flat_map(items).any(names) {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

fn says_no_transform(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL);
    values.iter().flat_map(items).any(|item| item.eq_ignore_ascii_case(b"no-transform"))
}

/// The items of a comma-separated list.
fn items(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// How much a client likes each coding; `None` is what it does not mention.
#[derive(Default)]
struct Weights {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    others: Option<u16>,
}

impl Weights {
    fn of(request: &HeaderMap) -> Self {
        let mut weights = Self::default();
        for item in request.get_all(ACCEPT_ENCODING).iter().flat_map(items) {
            let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(weight).unwrap_or(FULL_WEIGHT);
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let slot = if is("zstd") {
                &mut weights.zstd
            } else if is("br") {
                &mut weights.brotli
            } else if is("gzip") || is("x-gzip") {
                &mut weights.gzip
            } else if is("identity") {
                &mut weights.identity
            } else if is("*") {
                &mut weights.others
            } else {
                continue;
            };
            *slot = Some(weight);
        }
        weights
    }

    fn of_coding(&self, coding: Coding) -> u16 {
        let named = match coding {
            Coding::Zstd => self.zstd,
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        };
        named.or(self.others).unwrap_or(0)
    }
}

/// `q=0.5` in thousandths; 0 for a weight that is none, so that nothing is sent that may not be wanted.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_legal = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    Some(match whole {
        "1" if is_legal && fraction.bytes().all(|byte| byte == b'0') => FULL_WEIGHT,
        "0" if is_legal => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    })
}

#[cfg(test)]
#[path = "compression_tests.rs"]
mod tests;
