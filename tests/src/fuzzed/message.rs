//! One made-up request: legal by RFC 9110 and RFC 9112, odd in every other way.

use std::sync::OnceLock;

use serde_json::Value;

use super::dice::Dice;
use super::origin::Act;
use super::setup::{API_KEY, HOSTS, VECTORS};

/// What a name of a header, or a method, may be made of (RFC 9110, section 5.6.2).
const TOKEN: &[u8] = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// What a path may be made of without encoding (RFC 3986, section 3.3).
const PATH: &[u8] = b"abcxyzABCXYZ019-._~!$&'()*+,;=:@/";
/// What a query may have beside that (RFC 3986, section 3.4).
const QUERY: &[u8] = b"abcxyz019-._~!$&'()*+,;=:@/?&&==";
/// Headers that one of the filters, or the gateway, looks at.
const KNOWN: [&str; 24] = [
    "x-api-key",
    "X-Api-Key",
    "x_api_key",
    "authorization",
    "cookie",
    "x-consumer",
    "x_consumer",
    "x-key",
    "user-agent",
    "content-type",
    "accept",
    "accept-encoding",
    "x-forwarded-for",
    "x-forwarded-proto",
    "forwarded",
    "x-request-id",
    "traceparent",
    "tracestate",
    "grpc-timeout",
    "referer",
    "range",
    "if-none-match",
    "via",
    "x-user",
];
/// A head stays below what the gateway takes: 100 headers in 64 KiB.
const MAX_HEADERS: usize = 14;
const LONG_VALUE: usize = 3_000;
const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";

/// Bytes to send, and what is known of them.
pub(super) struct Made {
    pub(super) method: String,
    pub(super) head: Vec<u8>,
    /// With its framing; empty if there is none.
    pub(super) body: Vec<u8>,
    pub(super) act: Act,
    /// The client says that its connection ends.
    pub(super) is_last: bool,
}

impl Made {
    /// Whether refusals and failures are told as gRPC tells them, in an answer of 200.
    pub(super) fn is_grpc(&self) -> bool {
        self.head.windows(16).any(|part| part.eq_ignore_ascii_case(b"application/grpc"))
    }

    /// Whether nobody can say beforehand how long the body is.
    pub(super) fn is_chunked(&self) -> bool {
        self.head.windows(CHUNKED.len()).any(|part| part == CHUNKED)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.body].concat()
    }
}

/// `client` is told to the origin, which tells it when the request has arrived.
pub(super) fn made(dice: &mut Dice, client: usize, act: Act, needs_body: bool) -> Made {
    let method = method(dice, needs_body);
    let host = dice.one_of(&HOSTS);
    let mut head = method.clone().into_bytes();
    head.push(b' ');
    head.extend(target(dice, &method, host));
    head.extend(
        format!(" HTTP/1.1\r\nhost: {host}\r\nx-client: {client}\r\nx-act: {}\r\n", act.name()).bytes(),
    );
    // Most get through the filters: others have been there before.
    if dice.percent(75) {
        head.extend(format!("x-api-key: {API_KEY}\r\n").bytes());
    }
    if dice.percent(8) {
        line(&mut head, b"authorization", &[b"Bearer ".as_slice(), &token(dice)].concat());
    }
    for _ in 0..dice.below(MAX_HEADERS) {
        let name = if dice.percent(60) { dice.one_of(&KNOWN).as_bytes().to_vec() } else { name(dice) };
        let value = value(dice);
        line(&mut head, &name, &value);
    }
    let is_last = dice.percent(3);
    if is_last {
        head.extend(b"connection: close\r\n");
    }
    let body =
        if needs_body || (method != "GET" && dice.percent(40)) { body(dice, &mut head) } else { Vec::new() };
    head.extend(b"\r\n");
    Made { method, head, body, act, is_last }
}

/// A token of its own is in capitals and has a digit, so that it is none that means something.
fn method(dice: &mut Dice, needs_body: bool) -> String {
    if needs_body {
        return dice.one_of(&["POST", "PUT", "PATCH"]).to_owned();
    }
    if dice.percent(5) {
        let made = dice.out_of(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1, 20);
        return format!("X1{}", String::from_utf8_lossy(&made));
    }
    dice.one_of(&["GET", "GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "M-SEARCH"])
        .to_owned()
}

fn target(dice: &mut Dice, method: &str, host: &str) -> Vec<u8> {
    if method == "OPTIONS" && dice.percent(20) {
        return b"*".to_vec();
    }
    let mut target = if dice.percent(4) { format!("http://{host}").into_bytes() } else { Vec::new() };
    target.extend(dice.one_of(&["/", "/a/b", "/admin", "/%61dmin/x", "/a.php", "/%c3%a9"]).bytes());
    if dice.percent(50) {
        target.extend(dice.out_of(PATH, 0, 30));
    }
    if dice.percent(15) {
        target.extend(format!("%{:02X}", dice.below(256)).bytes());
    }
    if dice.percent(40) {
        target.push(b'?');
        target.extend(dice.one_of(&["", "api_key=", "token=", "a=b&api_key=", "&&=&", "%61pi_key="]).bytes());
        target.extend(match dice.below(4) {
            0 => API_KEY.bytes().collect(),
            1 => token(dice),
            2 => (0..dice.below(20)).flat_map(|_| format!("%{:02x}", dice.below(256)).into_bytes()).collect(),
            _ => dice.out_of(QUERY, 0, 60),
        });
    }
    target
}

fn name(dice: &mut Dice) -> Vec<u8> {
    // Names of three and more letters mean nothing when they are made up; the gateway's own all have more.
    [b"x".to_vec(), dice.out_of(TOKEN, 2, 24)].concat()
}

fn value(dice: &mut Dice) -> Vec<u8> {
    match dice.below(12) {
        0 => API_KEY.into(),
        1 => format!("Bearer {}", String::from_utf8_lossy(&nearly(dice, API_KEY.as_bytes()))).into_bytes(),
        2 => [b"Bearer ".as_slice(), &dice.value(200)].concat(),
        3 => [b"token=".as_slice(), &dice.value(80)].concat(),
        4 => dice
            .one_of(&["acme", "busy", "", "badbot/1.0", "application/grpc", "gzip", "*/*", "10.1.2.3, ::1"])
            .into(),
        5 => dice.value(LONG_VALUE),
        _ => dice.value(40),
    }
}

/// A token that is right, or has one octet that is not.
fn token(dice: &mut Dice) -> Vec<u8> {
    static TOKENS: OnceLock<Vec<String>> = OnceLock::new();
    let tokens = TOKENS.get_or_init(|| {
        let vectors: Value = serde_json::from_str(VECTORS).expect("vectors are JSON");
        let tokens = vectors["tokens"].as_object().expect("tokens by name");
        tokens.values().filter_map(|token| Some(token.as_str()?.to_owned())).collect()
    });
    let token = &tokens[dice.below(tokens.len())];
    if dice.percent(40) { token.clone().into_bytes() } else { nearly(dice, token.as_bytes()) }
}

/// Text with one visible character changed, left out or added, or cut.
fn nearly(dice: &mut Dice, text: &[u8]) -> Vec<u8> {
    let mut near = text.to_vec();
    let at = dice.below(near.len());
    let other = 0x21 + dice.below(0x5d) as u8;
    // In a target these would begin something else.
    let other = if b"#\"<>?[\\]^`{|}%".contains(&other) { b'.' } else { other };
    match dice.below(4) {
        0 => near[at] = other,
        1 => drop(near.remove(at)),
        2 => near.insert(at, other),
        _ => near.truncate(at),
    }
    near
}

fn line(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    head.extend_from_slice(name);
    head.extend(b": ");
    head.extend_from_slice(value);
    head.extend(b"\r\n");
}

/// The framing goes to the head; what follows it comes back.
fn body(dice: &mut Dice, head: &mut Vec<u8>) -> Vec<u8> {
    let most = if dice.percent(5) { 100_000 } else { 2_000 };
    if dice.percent(50) {
        let body = dice.bytes(most);
        head.extend(format!("content-length: {}\r\n", body.len()).bytes());
        return body;
    }
    head.extend(CHUNKED);
    let mut body = Vec::new();
    for _ in 0..dice.below(5) {
        let chunk = dice.bytes(most / 4);
        if !chunk.is_empty() {
            body.extend(format!("{:x}\r\n", chunk.len()).bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
    }
    body.extend(b"0\r\n");
    for _ in 0..dice.below(3) {
        let (name, value) = (name(dice), dice.value(40));
        line(&mut body, &name, &value);
    }
    body.extend(b"\r\n");
    body
}
