//! Requests as another parser reads them: `httparse` for heads and chunk sizes, and the plainest way to find the end of a
//! body. Shares no code with the gate.

/// More than any gate here lets through.
const MAX_HEADERS: usize = 128;

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    pub method: String,
    pub target: String,
    pub minor_version: u8,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Whether all of it is there.
    pub is_whole: bool,
}

impl Reading {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let same = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_slice()).collect()
    }

    /// The head once more, in the plainest form.
    pub fn rebuilt(&self) -> Vec<u8> {
        let first = format!("{} {} HTTP/1.{}\r\n", self.method, self.target, self.minor_version);
        let mut head = first.into_bytes();
        for (name, value) in &self.headers {
            head.extend_from_slice(name.to_ascii_lowercase().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Headers that end with their connection, and those that frame the message anew.
const NOT_FORWARDED: &[&str] = &[
    "connection",
    "upgrade",
    "te",
    "keep-alive",
    "proxy-connection",
    "expect",
    "trailer",
    "content-length",
    "transfer-encoding",
];

/// The requests as they are written for the next server: framing and connection are the writer's own.
pub fn forwarded<'a>(requests: impl Iterator<Item = &'a Reading>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for request in requests {
        bytes.extend_from_slice(format!("{} {} HTTP/1.1\r\n", request.method, request.target).as_bytes());
        if request.all("host").is_empty() {
            bytes.extend_from_slice(b"host: 127.0.0.1\r\n");
        }
        for (name, value) in &request.headers {
            let name = name.to_ascii_lowercase();
            if !NOT_FORWARDED.contains(&name.as_str()) {
                bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
        }
        if !request.body.is_empty() {
            bytes.extend_from_slice(format!("content-length: {}\r\n", request.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&request.body);
    }
    bytes
}

/// All requests in `bytes`, of which the last may not be whole in its body.
///
/// # Panics
/// If there is anything that is no request, or that has no one length.
pub fn requests(mut bytes: &[u8]) -> Vec<Reading> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let (request, length) = request(bytes);
        bytes = &bytes[length..];
        assert!(request.is_whole || bytes.is_empty(), "bytes after a body without an end");
        requests.push(request);
    }
    requests
}

fn request(bytes: &[u8]) -> (Reading, usize) {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        other => panic!("httparse says {other:?} to {:?}", String::from_utf8_lossy(bytes)),
    };
    let mut reading = Reading {
        method: parsed.method.expect("a method").to_owned(),
        target: parsed.path.expect("a target").to_owned(),
        minor_version: parsed.version.expect("a version"),
        headers: parsed
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), header.value.to_vec()))
            .collect(),
        body: Vec::new(),
        is_whole: true,
    };
    let (lengths, codings) = (reading.all("content-length"), reading.all("transfer-encoding"));
    let rest = &bytes[head..];
    let body = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Some((Vec::new(), 0)),
        ([length], []) => {
            let length = std::str::from_utf8(length).expect("digits").parse::<usize>();
            length.ok().and_then(|length| rest.get(..length)).map(|body| (body.to_vec(), body.len()))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => chunked(rest),
        both => panic!("two lengths: {both:?}"),
    };
    match body {
        Some((body, length)) => {
            reading.body = body;
            (reading, head + length)
        }
        None => {
            reading.is_whole = false;
            (reading, bytes.len())
        }
    }
}

/// A chunked body and its length on the wire; `None` if it is not whole, or is none.
pub fn chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(&bytes[at..]) else {
            return None;
        };
        at += line;
        if size == 0 {
            let trailers = trailers(&bytes[at..])?;
            return Some((body, at + trailers));
        }
        let end = at.checked_add(usize::try_from(size).ok()?)?;
        body.extend_from_slice(bytes.get(at..end)?);
        if bytes.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        at = end + 2;
    }
}

fn trailers(bytes: &[u8]) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete((length, _))) => Some(length),
        _ => None,
    }
}
