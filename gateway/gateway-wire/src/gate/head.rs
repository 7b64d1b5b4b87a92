//! A head, line by line, and what of it says where its message ends.

use memchr::memchr2;

use super::Limits;
use super::line::{collide, field, has_control_byte, length, lists, mimics_framing, trimmed};
use crate::{Refusal, authority};

/// How far a head has been read that has not ended yet.
#[derive(Default)]
pub(super) struct HeadReader {
    /// Where the line under way begins.
    line: usize,
    /// Before this there is no further end of a line.
    searched: usize,
    header_count: usize,
    has_first_line: bool,
    has_empty_line: bool,
    facts: Facts,
}

/// What a head says about its message.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Facts {
    pub(super) first: First,
    pub(super) length: Option<u64>,
    /// `transfer-encoding`, of which only `chunked` gets this far.
    pub(super) is_chunked: bool,
    pub(super) has_host: bool,
    pub(super) has_upgrade: bool,
    pub(super) connection_upgrades: bool,
    has_underscore: bool,
}

/// What the first line says that matters later.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct First {
    pub(super) is_http10: bool,
    /// Of a response.
    pub(super) status: u16,
}

/// Reads a first line, without its end.
pub(super) type FirstLine = fn(&[u8]) -> Result<First, Refusal>;

/// What a header line may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

impl HeadReader {
    /// Reads on in a head that begins with the first of `bytes`, as far as it has come; its length once it has ended.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        side: Side,
        first_line: FirstLine,
    ) -> Result<Option<(usize, Facts)>, Refusal> {
        loop {
            let Some(found) = memchr2(b'\r', b'\n', &bytes[self.searched..]) else {
                self.searched = bytes.len();
                break;
            };
            let end = self.searched + found;
            match (bytes[end], bytes.get(end + 1)) {
                (b'\n', _) => return Err(Refusal::BareLf),
                (_, Some(b'\n')) => {}
                (_, Some(_)) => return Err(Refusal::BareCr),
                (_, None) => {
                    self.searched = end;
                    break;
                }
            }
            let line = &bytes[self.line..end];
            let next = end + 2;
            (self.line, self.searched) = (next, next);
            if line.is_empty() && self.has_first_line {
                if next > limits.head_bytes {
                    return Err(Refusal::HeadTooLarge);
                }
                self.end(&bytes[..next], side)?;
                return Ok(Some((next, self.facts)));
            }
            self.line(line, limits, side, first_line)?;
        }
        if bytes.len() > limits.head_bytes { Err(Refusal::HeadTooLarge) } else { Ok(None) }
    }

    fn line(
        &mut self,
        line: &[u8],
        limits: &Limits,
        side: Side,
        first_line: FirstLine,
    ) -> Result<(), Refusal> {
        if self.has_first_line {
            self.header_count += 1;
            if self.header_count > limits.headers {
                return Err(Refusal::TooManyHeaders);
            }
            return self.facts.note(line, side);
        }
        // Some clients end a body with an empty line too many (RFC 9112, section 2.2).
        if line.is_empty() && side == Side::Request && !self.has_empty_line {
            self.has_empty_line = true;
            return Ok(());
        }
        self.facts.first = first_line(line)?;
        self.has_first_line = true;
        Ok(())
    }

    /// What can be told only of a whole head.
    fn end(&self, head: &[u8], side: Side) -> Result<(), Refusal> {
        let facts = &self.facts;
        if has_control_byte(head) {
            return Err(Refusal::ControlByte);
        }
        if facts.is_chunked && facts.length.is_some() {
            return Err(Refusal::LengthAndCoding);
        }
        if facts.is_chunked && facts.first.is_http10 {
            return Err(Refusal::CodingInHttp10);
        }
        if side == Side::Request && !facts.has_host && !facts.first.is_http10 {
            return Err(Refusal::HostMissing);
        }
        if facts.has_underscore { check_underscores(head) } else { Ok(()) }
    }
}

impl Facts {
    /// Most names have not even the length of one that matters here.
    fn note(&mut self, line: &[u8], side: Side) -> Result<(), Refusal> {
        let field = field(line)?;
        self.has_underscore |= field.has_underscore;
        match (field.name.len(), side) {
            (4, Side::Request) if field.name.eq_ignore_ascii_case(b"host") => {
                if std::mem::replace(&mut self.has_host, true) {
                    return Err(Refusal::HostRepeated);
                }
                if !authority::is_valid(trimmed(field.value)) {
                    return Err(Refusal::Host);
                }
            }
            (7, _) if field.name.eq_ignore_ascii_case(b"upgrade") => self.has_upgrade = true,
            (10, _) if field.name.eq_ignore_ascii_case(b"connection") => {
                self.connection_upgrades |= lists(field.value, b"upgrade");
            }
            (14, _) if field.name.eq_ignore_ascii_case(b"content-length") => {
                let length = length(trimmed(field.value)).ok_or(Refusal::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(Refusal::ContentLength);
                }
            }
            (17, _) if field.name.eq_ignore_ascii_case(b"transfer-encoding") => {
                coding(trimmed(field.value))?;
                if std::mem::replace(&mut self.is_chunked, true) {
                    return Err(Refusal::TransferEncoding);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// `chunked`, and nothing else: what else there could be, nobody here decodes.
fn coding(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut names = value.split(|byte| *byte == b',').map(|name| {
        let name = trimmed(name);
        name.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or(name)
    });
    let is_list = names.clone().all(super::line::is_token);
    let has_other = names.any(|name| !name.eq_ignore_ascii_case(b"chunked"));
    Err(if is_list && has_other { Refusal::TransferCoding } else { Refusal::TransferEncoding })
}

/// Names that some readers take for others: those that say where a message ends, and those that stand in the same head.
/// Rare, so this may walk the head again.
fn check_underscores(head: &[u8]) -> Result<(), Refusal> {
    let lines = || head.split(|byte| *byte == b'\n').skip(1);
    let names = || lines().filter_map(|line| field(line).ok()).map(|field| field.name);
    for (index, name) in names().enumerate().filter(|(_, name)| name.contains(&b'_')) {
        let collides = |(other_index, other): (usize, &[u8])| other_index != index && collide(name, other);
        if mimics_framing(name) || names().enumerate().any(collides) {
            return Err(Refusal::UnderscoreName);
        }
    }
    Ok(())
}
