//! Turns the facts of a request into one line of text or JSON.
//!
//! Pure: facts in, bytes out. Whatever a client sends, a line stays one line, a quoted field stays quoted and JSON stays
//! valid JSON.

use std::time::Duration;

use super::stamp::Stamp;
use super::{AccessLine, Format, MAX_FIELD_BYTES};

/// Appends one line, with its line feed.
pub(super) fn write_line(format: &Format, line: &AccessLine<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    match format {
        Format::Text => write_text(line, stamp, out),
        Format::Json => write_json(line, stamp, out),
        Format::Template(template) => template.write(line, stamp, out),
    }
}

fn write_text(line: &AccessLine<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    // Nearly no line needs an escape: one look over the whole line is cheaper than one at each field.
    let start = out.len();
    write_text_with(line, stamp, out, |field, out| out.extend_from_slice(field));
    if !is_unambiguous(&out[start..]) {
        out.truncate(start);
        write_text_with(line, stamp, out, push_quoted);
    }
}

/// Double quotes in a line of text whose fields have none.
const QUOTES_OF_TEXT: usize = 12;

fn write_text_with(
    line: &AccessLine<'_>,
    stamp: &mut Stamp,
    out: &mut Vec<u8>,
    push: impl Fn(&[u8], &mut Vec<u8>),
) {
    out.push(b'[');
    stamp.write(line.start_unix_ns, out);
    out.extend_from_slice(b"] \"");
    push(line.method.as_bytes(), out);
    out.push(b' ');
    push(line.path.as_bytes(), out);
    out.push(b' ');
    out.extend_from_slice(line.protocol.as_bytes());
    out.extend_from_slice(b"\" ");
    push_number(u64::from(line.status), out);
    for code in [line.flags, line.reason] {
        out.push(b' ');
        out.extend_from_slice(code.as_bytes());
    }
    for number in [line.bytes_in, line.bytes_out, millis(line.duration)] {
        out.push(b' ');
        push_number(number, out);
    }
    push_optional_number(line.upstream_duration.map(millis), out);
    let host = line.upstream_host.map(str::as_bytes);
    for field in [line.forwarded_for, line.user_agent, line.request_id, line.authority, host] {
        out.extend_from_slice(b" \"");
        push(field.unwrap_or(b"-"), out);
        out.push(b'"');
    }
    push_name(line.upstream, out);
    push_name(line.route, out);
    out.push(b' ');
    out.extend_from_slice(line.downstream_remote.as_bytes());
    push_optional_number(line.filter_time.map(micros), out);
    out.push(b'\n');
}

/// Whether a line that was written without escapes reads as the one with them.
fn is_unambiguous(line: &[u8]) -> bool {
    let Some((_, text)) = line.split_last() else { return false };
    let mut plain = true;
    let mut quotes = 0;
    // Counted in bytes within a chunk, so that the compiler looks at many bytes at once.
    for chunk in text.chunks(usize::from(u8::MAX)) {
        let mut quotes_here = 0_u8;
        for byte in chunk {
            plain &= (*byte >= 0x20) & (*byte < 0x7f) & (*byte != b'\\');
            quotes_here += u8::from(*byte == b'"');
        }
        quotes += usize::from(quotes_here);
    }
    plain && quotes == QUOTES_OF_TEXT && line.len() <= MAX_FIELD_BYTES
}

/// A name of the configuration, without quotes: white space becomes `_`, as in Envoy, so that columns stay columns.
fn push_name(name: Option<&str>, out: &mut Vec<u8>) {
    out.push(b' ');
    let name = name.filter(|name| !name.is_empty()).unwrap_or("-");
    let start = out.len();
    push_quoted(name.as_bytes(), out);
    for byte in &mut out[start..] {
        if *byte == b' ' {
            *byte = b'_';
        }
    }
}

fn push_optional_number(number: Option<u64>, out: &mut Vec<u8>) {
    out.push(b' ');
    match number {
        Some(number) => push_number(number, out),
        None => out.push(b'-'),
    }
}

/// Printable ASCII as it is; quotes and backslashes escaped; every other byte as `\xHH`, so that a terminal that shows
/// the log obeys nobody.
pub(super) fn push_quoted(field: &[u8], out: &mut Vec<u8>) {
    let field = &field[..field.len().min(MAX_FIELD_BYTES)];
    if is_plain(field) {
        return out.extend_from_slice(field);
    }
    for byte in field {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => out.push(*byte),
            _ => out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(*byte)]),
        }
    }
}

fn write_json(line: &AccessLine<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"start_time\":\"");
    stamp.write(line.start_unix_ns, out);
    out.push(b'"');
    push_text(b",\"route_name\":", line.route.map(str::as_bytes), out);
    push_text(b",\"method\":", Some(line.method.as_bytes()), out);
    push_text(b",\"path\":", Some(line.path.as_bytes()), out);
    push_text(b",\"protocol\":", Some(line.protocol.as_bytes()), out);
    push_count(b",\"response_code\":", Some(u64::from(line.status)), out);
    push_text(b",\"response_flags\":", Some(line.flags.as_bytes()), out);
    push_text(
        b",\"response_code_details\":",
        Some(line.reason).filter(|it| *it != "-").map(str::as_bytes),
        out,
    );
    push_count(b",\"bytes_received\":", Some(line.bytes_in), out);
    push_count(b",\"bytes_sent\":", Some(line.bytes_out), out);
    push_count(b",\"duration\":", Some(millis(line.duration)), out);
    push_count(b",\"upstream_service_time\":", line.upstream_duration.map(millis), out);
    push_text(b",\"x_forwarded_for\":", line.forwarded_for, out);
    push_text(b",\"user_agent\":", line.user_agent, out);
    push_text(b",\"request_id\":", line.request_id, out);
    push_text(b",\"authority\":", line.authority, out);
    push_text(b",\"upstream_host\":", line.upstream_host.map(str::as_bytes), out);
    push_count(b",\"upstream_request_attempt_count\":", Some(u64::from(line.attempts)), out);
    push_text(b",\"upstream_cluster\":", line.upstream.map(str::as_bytes), out);
    push_text(b",\"downstream_remote_address\":", Some(line.downstream_remote.as_bytes()), out);
    push_text(b",\"downstream_peer\":", line.downstream_peer.map(str::as_bytes), out);
    push_count(b",\"filter_time_us\":", line.filter_time.map(micros), out);
    out.extend_from_slice(b"}\n");
}

fn push_text(key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    push_value(value, out);
}

/// A JSON string, or null.
pub(super) fn push_value(value: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(value) = value else { return out.extend_from_slice(b"null") };
    let value = &value[..value.len().min(MAX_FIELD_BYTES)];
    out.push(b'"');
    if is_plain(value) {
        out.extend_from_slice(value);
    } else {
        push_json_escaped(value, out);
    }
    out.push(b'"');
}

fn push_count(key: &[u8], value: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => push_number(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// RFC 8259 section 7; bytes that are not UTF-8 become U+FFFD.
fn push_json_escaped(value: &[u8], out: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..0x20 | 0x7f => {
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte)])
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Whether all bytes are printable ASCII that neither format escapes. No early exit: so written, the compiler checks
/// many bytes at once.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| {
        plain & (*byte >= 0x20) & (*byte < 0x7f) & (*byte != b'"') & (*byte != b'\\')
    })
}

pub(super) fn push_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The lower four bits as a hexadecimal digit.
fn hex(bits: u8) -> u8 {
    b"0123456789abcdef"[usize::from(bits & 0xf)]
}

pub(super) fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000).saturating_add(u64::from(duration.subsec_millis()))
}

fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
