//! HTTP/1.1 as bytes on a socket, for both ends: heads, bodies, trailers. Believes only what RFC 9112 allows.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

const READ_BYTES: usize = 16 * 1024;

/// Header or trailer fields in the order of the wire; names as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The only value of `name`; `None` if there is none.
    ///
    /// # Panics
    /// If there are several: a test that does not expect that should fail.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} appears {} times in {self:?}", all.len());
        all.first().copied()
    }

    /// All values of `name`.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }
}

/// The receiving side of a connection, with what was read ahead.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    ahead: Vec<u8>,
}

/// First line and fields of a message.
pub(crate) struct Head {
    pub(crate) first_line: String,
    pub(crate) headers: Headers,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// The next head; `None` if the peer closed before its first byte.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        if self.ahead.is_empty() && self.fill()? == 0 {
            return Ok(None);
        }
        let first_line = self.line()?;
        let headers = self.fields()?;
        Ok(Some(Head { first_line, headers }))
    }

    /// Exactly `length` bytes.
    pub(crate) fn exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            self.fill_some()?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// A chunked body and its trailers.
    pub(crate) fn chunked(&mut self) -> io::Result<(Vec<u8>, Headers)> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| bad(format!("chunk size {line:?}")))?;
            if size == 0 {
                return Ok((body, self.fields()?));
            }
            body.extend(self.exact(size)?);
            if self.exact(2)? != b"\r\n" {
                return Err(bad("a chunk does not end where its size says".into()));
            }
        }
    }

    /// Everything until the peer closes.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.ahead))
    }

    /// What was read and not asked for yet.
    pub(crate) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    fn fields(&mut self) -> io::Result<Headers> {
        let mut fields = Headers::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(format!("field {line:?}")))?;
            fields.0.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill_some()?;
        }
    }

    fn fill_some(&mut self) -> io::Result<()> {
        if self.fill()? == 0 {
            let seen = String::from_utf8_lossy(&self.ahead[..self.ahead.len().min(200)]).into_owned();
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("closed in a message after {seen:?}"),
            ));
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; READ_BYTES];
        let read = loop {
            match self.stream.read(&mut chunk) {
                // A process that was stopped and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.ahead.extend_from_slice(&chunk[..read]);
        Ok(read)
    }
}

pub(crate) fn bad(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
