//! Reading HTTP/1.1 messages for the demo's own client and origin. They stand apart from the gateway's code on purpose:
//! what they report is evidence. Only what loopback partners of the gateway send is understood (RFC 9112).

use std::io::{self, BufRead, ErrorKind, Read};

/// Longest head and longest body that are taken.
const MAX_HEAD_BYTES: u64 = 64 * 1024;
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;

/// Start line and headers, as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Without the final empty line.
    pub(crate) text: String,
}

impl Head {
    /// The line before the headers.
    pub(crate) fn start_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// All values of a header, in order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let headers = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The first value of a header.
    pub(crate) fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    fn is_chunked(&self) -> bool {
        self.value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// Where a body ends that has neither a length nor chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WithoutLength {
    /// There is none (requests).
    Empty,
    /// With the connection (responses).
    UntilClose,
}

/// `None` when the peer closed before the first byte.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut text = String::new();
    let mut limited = reader.take(MAX_HEAD_BYTES);
    loop {
        let start = text.len();
        let read = limited.read_line(&mut text)?;
        if read == 0 && start == 0 {
            return Ok(None);
        }
        if read == 0 || !text.ends_with('\n') {
            return Err(broken("a head ended early or is too long"));
        }
        if text[start..].trim_end().is_empty() {
            text.truncate(start);
            return Ok(Some(Head { text }));
        }
    }
}

/// The body that follows `head`, without its framing.
pub(crate) fn read_body(reader: &mut impl BufRead, head: &Head, or: WithoutLength) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.is_chunked() {
        while read_chunk(reader, &mut body)? {}
    } else if let Some(length) = head.value("content-length") {
        let length = length.parse().map_err(|_| broken("content-length is not a number"))?;
        read_exactly(reader, length, &mut body)?;
    } else if or == WithoutLength::UntilClose {
        reader.take(MAX_BODY_BYTES).read_to_end(&mut body)?;
    }
    Ok(body)
}

/// False after the last chunk and the trailers.
fn read_chunk(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let line = read_line(reader)?;
    let size = line.split(';').next().unwrap_or_default().trim();
    let size = u64::from_str_radix(size, 16).map_err(|_| broken("a chunk has no size"))?;
    if size == 0 {
        while !read_line(reader)?.is_empty() {}
        return Ok(false);
    }
    read_exactly(reader, size, body)?;
    if read_line(reader)?.is_empty() { Ok(true) } else { Err(broken("a chunk is longer than it says")) }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(MAX_HEAD_BYTES).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
        None => Err(broken("a line of the framing ended early or is too long")),
    }
}

fn read_exactly(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if length > MAX_BODY_BYTES - (body.len() as u64).min(MAX_BODY_BYTES) {
        return Err(broken("a body is too long"));
    }
    let read = reader.take(length).read_to_end(body)?;
    if read as u64 == length { Ok(()) } else { Err(broken("a body ended early")) }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
