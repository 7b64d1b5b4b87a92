//! An origin that keeps the bytes it gets and reads them as strictly as can be: what it does not take has two readings, or none.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What came over one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) bytes: Vec<u8>,
    /// Targets of the requests that are whole.
    pub(super) targets: Vec<String>,
    /// Why what follows those is not a request, nor the beginning of one.
    pub(super) fault: Option<String>,
}

/// Answers each request with 200 and `ok`.
pub(super) struct StrictOrigin {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl StrictOrigin {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let all = all.clone();
                std::thread::spawn(move || serve(stream, &all));
            }
        });
        Self { address, heard }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All connections so far, also those still open.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, all: &Mutex<Vec<Heard>>) {
    let nth = {
        let mut all = all.lock().expect("no panic");
        all.push(Heard::default());
        all.len() - 1
    };
    let (mut buffer, mut begins) = ([0; 4096], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let mut answers = 0;
        {
            let heard = &mut all.lock().expect("no panic")[nth];
            heard.bytes.extend_from_slice(&buffer[..read]);
            while heard.fault.is_none() {
                match request(&heard.bytes[begins..]) {
                    Reading::Whole(length, target) => {
                        begins += length;
                        answers += 1;
                        heard.targets.push(target);
                    }
                    Reading::Begun => break,
                    Reading::Fault(fault) => heard.fault = Some(fault),
                }
            }
            if heard.fault.is_some() {
                return;
            }
        }
        for _ in 0..answers {
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }
}

enum Reading {
    /// So many bytes, and the target.
    Whole(usize, String),
    Begun,
    Fault(String),
}

fn request(bytes: &[u8]) -> Reading {
    if bytes.is_empty() {
        return Reading::Begun;
    }
    let Some(end) = position(bytes, b"\r\n\r\n") else {
        // So far it may be a request; of its lines, all but the last are whole.
        return match bytes.split(|byte| *byte == b'\n').rev().skip(1).all(|line| line.ends_with(b"\r")) {
            true => Reading::Begun,
            false => Reading::Fault("a line that ends with LF alone".into()),
        };
    };
    let mut lines = split_crlf(&bytes[..end]);
    let first = lines.remove(0);
    let parts: Vec<_> = first.split(|byte| *byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = parts.as_slice() else { return fault("request line", first) };
    if !is_token(method) || !target.starts_with(b"/") || !target.iter().all(u8::is_ascii_graphic) {
        return fault("request line", first);
    }
    let mut framing = Vec::new();
    let (mut hosts, mut names) = (0, Vec::new());
    for line in lines {
        let Some((name, value)) = field(line) else { return fault("field", line) };
        match name.to_ascii_lowercase().as_slice() {
            b"host" => hosts += 1,
            b"content-length" if value.iter().all(u8::is_ascii_digit) && !value.is_empty() => {
                framing.push(std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()));
            }
            b"transfer-encoding" if value == b"chunked" => framing.push(None),
            b"content-length" | b"transfer-encoding" => return fault("framing", line),
            _ => {}
        }
        names.push(name.to_ascii_lowercase());
    }
    if hosts != 1 || framing.len() > 1 {
        return fault("not one host, or two lengths", &bytes[..end]);
    }
    let same = |one: &[u8], other: &[u8]| one != other && dashed(one) == dashed(other);
    let is_framing = |name: &[u8]| {
        [&b"content-length"[..], b"transfer-encoding"].iter().any(|framing| same(name, framing))
    };
    if names.iter().any(|name| is_framing(name) || names.iter().any(|other| same(name, other))) {
        return fault("underscore", &bytes[..end]);
    }
    let head = end + 4;
    let target = String::from_utf8_lossy(target).into_owned();
    match framing.first() {
        None => Reading::Whole(head, target),
        Some(Some(length)) if bytes.len() - head >= *length => Reading::Whole(head + length, target),
        Some(Some(_)) => Reading::Begun,
        Some(None) => chunks(bytes, head, target),
    }
}

/// A chunked body without extensions.
fn chunks(bytes: &[u8], mut at: usize, target: String) -> Reading {
    loop {
        let Some(end) = position(&bytes[at..], b"\r\n") else { return Reading::Begun };
        let size = &bytes[at..at + end];
        let length =
            std::str::from_utf8(size).ok().filter(|size| size.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(length) = length.and_then(|size| usize::from_str_radix(size, 16).ok()) else {
            return fault("chunk size", size);
        };
        at += end + 2;
        if length == 0 {
            break;
        }
        let Some(chunk) = bytes.get(at..at + length + 2) else { return Reading::Begun };
        if !chunk.ends_with(b"\r\n") {
            return fault("chunk end", chunk);
        }
        at += length + 2;
    }
    loop {
        let Some(end) = position(&bytes[at..], b"\r\n") else { return Reading::Begun };
        let line = &bytes[at..at + end];
        at += end + 2;
        match field(line) {
            _ if line.is_empty() => return Reading::Whole(at, target),
            Some(_) => {}
            None => return fault("trailer", line),
        }
    }
}

fn fault(what: &str, bytes: &[u8]) -> Reading {
    Reading::Fault(format!("{what}: {:?}", String::from_utf8_lossy(bytes)))
}

/// Name and value of a field line that has one reading (RFC 9110, section 5); `None` for any other.
pub(super) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    (is_token(name) && value.iter().all(is_text)).then(|| (name, value.trim_ascii()))
}

/// A name as those read it for whom `_` is `-`.
pub(super) fn dashed(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }).collect()
}

fn is_token(name: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(is_token)
}

/// Lines that end with CRLF; one that has a CR or an LF elsewhere keeps it.
pub(super) fn split_crlf(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = position(bytes, b"\r\n") {
        lines.push(&bytes[..end]);
        bytes = &bytes[end + 2..];
    }
    lines.push(bytes);
    lines
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
