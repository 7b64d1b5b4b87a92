//! An HTTP/1.1 client that sends each request once, on a connection of its own, and never retries.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::wire::{Head, WithoutLength, read_body, read_head};

/// How long one connect, one read or one write may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A whole response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: String,
}

pub(crate) fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;

    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader)?.ok_or_else(|| {
        io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed without an answer")
    })?;
    let body = read_body(&mut reader, &head, WithoutLength::UntilClose)?;
    let status = head.start_line().split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the answer has no status"))?;
    Ok(Response { status, head, body: String::from_utf8_lossy(&body).into_owned() })
}
