//! Any header list of HTTP/2: one that is accepted, written as HTTP/1, is exactly one request with the same fields.

use gateway_wire::downgrade::{Pseudo, check as accepts};
use gateway_wire::gate::RequestGate;

use super::gate::LIMITS;
use super::reading::requests;

/// What separates the parts of the input: method, path, authority, and then names and values in turn. HTTP/1 has no such byte
/// in ASCII, and a value may still have any other.
const SEPARATOR: u8 = 0xff;
const MAX_FIELDS: usize = 90;

pub fn check(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == SEPARATOR);
    let (Some(method), Some(path), Some(authority)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let authority = Some(authority).filter(|authority| !authority.is_empty());
    let mut fields = Vec::new();
    while let (Some(name), Some(value), true) = (parts.next(), parts.next(), fields.len() < MAX_FIELDS) {
        fields.push((name, value));
    }
    if accepts(&Pseudo { method, scheme: b"https", path, authority }, || fields.iter().copied()).is_err() {
        return;
    }
    let host = fields.iter().find(|(name, _)| *name == b"host").map(|(_, value)| *value);
    let host = authority.or(host).expect("a request without a host was accepted");
    let mut lines = vec![(&b"host"[..], host)];
    lines.extend(fields.iter().filter(|(name, _)| *name != b"host"));
    let mut head = [method, b" ", path, b" HTTP/1.1\r\n"].concat();
    for (name, value) in &lines {
        head.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    // CONNECT is another thing in HTTP/1, and is refused before anybody writes it.
    if method == b"CONNECT" || head.len() > LIMITS.head_bytes {
        return;
    }
    let mut gate = RequestGate::new(LIMITS);
    let passed = gate.scan(&head).passed;
    assert_eq!((passed, gate.heads()), (head.len(), 1), "{:?}", String::from_utf8_lossy(&head));
    let readings = requests(&head);
    let [reading] = readings.as_slice() else { panic!("{} requests", readings.len()) };
    assert_eq!((reading.method.as_bytes(), reading.target.as_bytes()), (method, path));
    let read: Vec<_> =
        reading.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
    assert_eq!(read, lines);
}
