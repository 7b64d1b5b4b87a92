//! The PROXY protocol, versions 1 and 2: what a proxy says about a connection before anything else is sent over it.
//!
//! Source: "The PROXY protocol, versions 1 & 2" (HAProxy, 2020-03-05). Read strictly: a header is whole and of one of the
//! two forms, or there is none and the connection is nothing to go on with. Whom to believe is for the caller to know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header, in bytes. One of version 1 has 107; further fields of version 2 (certificates among them) take more.
pub const MAX_BYTES: usize = 4096;

/// Longest header of version 1, its line end included (section 2.1).
const MAX_V1_BYTES: usize = 107;
/// How a header of version 1 begins.
const V1_START: &[u8] = b"PROXY ";
/// How one of version 2 begins (section 2.2).
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length.
const V2_START_BYTES: usize = 16;
/// The type of the further field that holds a checksum (section 2.2.3).
const TYPE_CRC32C: u8 = 0x03;

/// What a connection was before it was proxied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proxied {
    /// Made by the proxy itself, or of a kind that has no addresses: who connects is who it is.
    Local,
    /// From one address to another.
    From {
        /// The client's end.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
}

/// What the bytes so far are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The beginning of a header: every byte so far belongs to it, and more are needed.
    Incomplete,
    /// A header, and how many bytes it has; what follows belongs to the connection.
    Complete(Proxied, usize),
}

/// Why bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// They begin like neither version.
    NoHeader,
    /// They have no end within the limit.
    TooLong,
    /// A line of version 1 that is not as section 2.1 says.
    BadLine,
    /// A version or command that there is not.
    UnknownCommand,
    /// An address family that there is not, or one of datagrams.
    UnknownFamily,
    /// Addresses or further fields do not fit into the length.
    BadLength,
    /// The checksum is not that of the header.
    BadChecksum,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoHeader => "the connection does not begin with a PROXY protocol header",
            Self::TooLong => "the PROXY protocol header has no end within its limit",
            Self::BadLine => "the PROXY protocol header of version 1 is malformed",
            Self::UnknownCommand => "the PROXY protocol header has an unknown version or command",
            Self::UnknownFamily => "the PROXY protocol header has an unknown address family",
            Self::BadLength => "the fields of the PROXY protocol header do not fit into its length",
            Self::BadChecksum => "the checksum of the PROXY protocol header is wrong",
        })
    }
}

/// The version that is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Reads the beginning of a connection.
///
/// # Errors
/// What makes it no header.
pub fn read(bytes: &[u8]) -> Result<Progress, Refusal> {
    if starts_like(bytes, V1_START) {
        return read_v1(bytes);
    }
    if starts_like(bytes, V2_SIGNATURE) {
        return read_v2(bytes);
    }
    Err(Refusal::NoHeader)
}

/// Appends a header. Two addresses of different families are both written as IPv6.
pub fn write(version: Version, proxied: Proxied, out: &mut Vec<u8>) {
    let ends = match proxied {
        Proxied::Local => None,
        Proxied::From { source, destination } => Some(Ends::of(source, destination)),
    };
    match version {
        Version::V1 => write_v1(ends, out),
        Version::V2 => write_v2(ends, out),
    }
}

/// Whether what there is of the two is the same.
fn starts_like(bytes: &[u8], start: &[u8]) -> bool {
    let length = bytes.len().min(start.len());
    bytes[..length] == start[..length]
}

fn read_v1(bytes: &[u8]) -> Result<Progress, Refusal> {
    let within = &bytes[..bytes.len().min(MAX_V1_BYTES)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_V1_BYTES { Ok(Progress::Incomplete) } else { Err(Refusal::TooLong) };
    };
    let line = within[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(V1_START));
    let line = line.and_then(|line| std::str::from_utf8(line).ok()).ok_or(Refusal::BadLine)?;
    let proxied = if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        // The rest of that line says nothing (section 2.1).
        Proxied::Local
    } else {
        read_line(line).ok_or(Refusal::BadLine)?
    };
    Ok(Progress::Complete(proxied, end + 1))
}

/// `TCP4 192.0.2.1 192.0.2.2 4000 80`, single spaces, no leading zeros.
fn read_line(line: &str) -> Option<Proxied> {
    let mut words = line.split(' ');
    let mut word = || words.next();
    let (family, source, destination) = (word()?, word()?, word()?);
    let (source_port, destination_port) = (read_port(word()?)?, read_port(word()?)?);
    if word().is_some() {
        return None;
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    Some(Proxied::From {
        source: SocketAddr::new(address(source)?, source_port),
        destination: SocketAddr::new(address(destination)?, destination_port),
    })
}

fn read_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

fn read_v2(bytes: &[u8]) -> Result<Progress, Refusal> {
    let Some((start, rest)) = bytes.split_at_checked(V2_START_BYTES) else { return Ok(Progress::Incomplete) };
    let length = usize::from(u16::from_be_bytes([start[14], start[15]]));
    let is_local = match start[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Refusal::UnknownCommand),
    };
    let address_bytes = match start[13] {
        0x00 => 0,
        // Over TCP, and over the Unix sockets that are like it.
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ if is_local => 0,
        _ => return Err(Refusal::UnknownFamily),
    };
    if V2_START_BYTES + length > MAX_BYTES {
        return Err(Refusal::TooLong);
    }
    let Some(body) = rest.get(..length) else { return Ok(Progress::Incomplete) };
    let header = &bytes[..V2_START_BYTES + length];
    // Of a local connection, everything after the length is to be skipped (section 2.2).
    if is_local {
        return Ok(Progress::Complete(Proxied::Local, header.len()));
    }
    let (addresses, fields) = body.split_at_checked(address_bytes).ok_or(Refusal::BadLength)?;
    // Without a family, nothing says where further fields begin.
    if start[13] != 0 {
        check_fields(header, fields)?;
    }
    Ok(Progress::Complete(read_addresses(addresses), header.len()))
}

fn read_addresses(bytes: &[u8]) -> Proxied {
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let (source, destination) = match bytes.len() {
        12 => (v4(&bytes[..4]), v4(&bytes[4..8])),
        36 => (v6(&bytes[..16]), v6(&bytes[16..32])),
        _ => return Proxied::Local,
    };
    let ports = bytes.len() - 4;
    Proxied::From {
        source: SocketAddr::new(source, port(ports)),
        destination: SocketAddr::new(destination, port(ports + 2)),
    }
}

fn v4(bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 4];
    octets.copy_from_slice(bytes);
    Ipv4Addr::from(octets).into()
}

fn v6(bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(bytes);
    Ipv6Addr::from(octets).into()
}

/// Walks over the further fields, and compares the checksum if there is one (section 2.2.3).
fn check_fields(header: &[u8], mut fields: &[u8]) -> Result<(), Refusal> {
    while let [kind, high, low, rest @ ..] = fields {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, after) = rest.split_at_checked(length).ok_or(Refusal::BadLength)?;
        if *kind == TYPE_CRC32C {
            let expected = <[u8; 4]>::try_from(value).map_err(|_| Refusal::BadLength)?;
            let at = header.len() - rest.len();
            let with_zeros = header.iter().enumerate();
            let with_zeros =
                with_zeros.map(|(index, byte)| if (at..at + 4).contains(&index) { 0 } else { *byte });
            if crc32c(with_zeros) != u32::from_be_bytes(expected) {
                return Err(Refusal::BadChecksum);
            }
        }
        fields = after;
    }
    if fields.is_empty() { Ok(()) } else { Err(Refusal::BadLength) }
}

/// RFC 3720, appendix B.4, bit by bit: headers are short, and few have a checksum.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (REVERSED_POLYNOMIAL & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// Both ends in one family.
enum Ends {
    V4((Ipv4Addr, u16), (Ipv4Addr, u16)),
    V6((Ipv6Addr, u16), (Ipv6Addr, u16)),
}

impl Ends {
    fn of(source: SocketAddr, destination: SocketAddr) -> Self {
        let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Self::V4((from, source.port()), (to, destination.port())),
            _ => Self::V6((as_v6(from), source.port()), (as_v6(to), destination.port())),
        }
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn write_v1(ends: Option<Ends>, out: &mut Vec<u8>) {
    let line = match ends {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(Ends::V4(from, to)) => format!("PROXY TCP4 {} {} {} {}\r\n", from.0, to.0, from.1, to.1),
        Some(Ends::V6(from, to)) => format!("PROXY TCP6 {} {} {} {}\r\n", from.0, to.0, from.1, to.1),
    };
    out.extend_from_slice(line.as_bytes());
}

fn write_v2(ends: Option<Ends>, out: &mut Vec<u8>) {
    out.extend_from_slice(V2_SIGNATURE);
    let ports = |from: u16, to: u16| [from.to_be_bytes(), to.to_be_bytes()].concat();
    match ends {
        None => out.extend_from_slice(&[0x20, 0x00, 0, 0]),
        Some(Ends::V4(from, to)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&[from.0.octets(), to.0.octets()].concat());
            out.extend_from_slice(&ports(from.1, to.1));
        }
        Some(Ends::V6(from, to)) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&[from.0.octets(), to.0.octets()].concat());
            out.extend_from_slice(&ports(from.1, to.1));
        }
    }
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
