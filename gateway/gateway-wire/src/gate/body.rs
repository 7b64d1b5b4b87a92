//! Where a body ends: by length, by chunks (RFC 9112, section 7.1), or with the connection.

use super::line::{field, has_any_control};
use super::{MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, MAX_TRAILERS};
use crate::Refusal;

/// A body under way.
pub(super) enum Body {
    /// So many bytes more.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

/// How far some bytes of a body go.
pub(super) enum Read {
    /// All of them belong to it, and more will come.
    All,
    /// It ends after as many.
    Ends(usize),
}

/// A chunked body under way.
#[derive(Default)]
pub(super) struct Chunks {
    at: At,
    size: u64,
    size_digits: usize,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailers: usize,
    /// The trailer line under way.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Extension,
    /// After the CR of the line with the size.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
}

/// Of which there is no number that does not fit; no body has chunks of 2^60 bytes.
const MAX_SIZE_DIGITS: usize = 15;

impl Body {
    /// Reads on. An error comes with the number of bytes before the one at fault.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Read, (usize, Refusal)> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                Ok(if *left == 0 { Read::Ends(here) } else { Read::All })
            }
            Self::Chunked(chunks) => chunks.read(bytes),
            Self::UntilClose => Ok(Read::All),
        }
    }
}

impl Chunks {
    fn read(&mut self, bytes: &[u8]) -> Result<Read, (usize, Refusal)> {
        let mut at = 0;
        while at < bytes.len() {
            if self.at == At::Data {
                let here = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.size -= here as u64;
                at += here;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            let ends = self.step(bytes[at]).map_err(|refusal| (at, refusal))?;
            at += 1;
            if ends {
                return Ok(Read::Ends(at));
            }
        }
        Ok(Read::All)
    }

    /// One byte that is not data; whether the body ends with it.
    fn step(&mut self, byte: u8) -> Result<bool, Refusal> {
        match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => {
                self.size_digits += 1;
                if self.size_digits > MAX_SIZE_DIGITS {
                    return Err(Refusal::ChunkSize);
                }
                self.size = self.size * 16 + u64::from(hex_value(byte));
            }
            (At::Size, b'\r') if self.size_digits > 0 => self.at = At::SizeLf,
            (At::Size, b';') if self.size_digits > 0 => {
                self.at = At::Extension;
                self.count_extension()?;
            }
            (At::Size, b'\n') if self.size_digits > 0 => return Err(Refusal::BareLf),
            (At::Size, _) => return Err(Refusal::ChunkSize),
            (At::Extension, b'\r') => self.at = At::SizeLf,
            (At::Extension, b'\n') => return Err(Refusal::BareLf),
            (At::Extension, _) => {
                if byte != b'\t' && (byte < 0x20 || byte == 0x7f) {
                    return Err(Refusal::ControlByte);
                }
                self.count_extension()?;
            }
            (At::SizeLf, b'\n') => {
                self.at = if self.size == 0 { At::Trailer } else { At::Data };
                self.size_digits = 0;
            }
            (At::SizeLf, _) => return Err(Refusal::BareCr),
            (At::DataCr, b'\r') => self.at = At::DataLf,
            (At::DataLf, b'\n') => self.at = At::Size,
            (At::DataCr | At::DataLf | At::Data, _) => return Err(Refusal::ChunkEnd),
            (At::Trailer, b'\n') => return Err(Refusal::BareLf),
            (At::Trailer, b'\r') => self.at = At::TrailerLf,
            (At::Trailer, _) => {
                self.count_trailer_byte()?;
                self.line.push(byte);
            }
            (At::TrailerLf, b'\n') => return self.trailer_line(),
            (At::TrailerLf, _) => return Err(Refusal::BareCr),
        }
        Ok(false)
    }

    fn count_extension(&mut self) -> Result<(), Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES { Err(Refusal::ChunkExtensions) } else { Ok(()) }
    }

    fn count_trailer_byte(&mut self) -> Result<(), Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES { Err(Refusal::Trailers) } else { Ok(()) }
    }

    /// The line feed that ends a line of trailers; whether that was the empty one at their end.
    fn trailer_line(&mut self) -> Result<bool, Refusal> {
        if self.line.is_empty() {
            return Ok(true);
        }
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS {
            return Err(Refusal::Trailers);
        }
        let line = std::mem::take(&mut self.line);
        let field = field(&line)?;
        if has_any_control(field.value) {
            return Err(Refusal::ControlByte);
        }
        self.at = At::Trailer;
        // The two that end the line.
        self.count_trailer_byte()?;
        self.count_trailer_byte()?;
        Ok(false)
    }
}

const fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        // Whoever asks has seen that it is a digit.
        _ => digit - b'A' + 10,
    }
}
