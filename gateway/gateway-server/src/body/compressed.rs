//! A response body while it is compressed: encoded piece by piece as the client asks for more.
//!
//! Owns how much is encoded at once and when what was encoded is let out. Whether a response is compressed at all is
//! decided by `request::compression`.

use std::io::{self, Write};
use std::task::{Context, Poll, ready};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use gateway_config::Coding;
use http::HeaderMap;
use http_body::Frame;

use super::{BodyError, BodySource};
use crate::request::Reason;
use crate::upstream::Driver;

/// Encoded without asking anything else, in bytes of input: about a tenth of a millisecond.
const PIECE_BYTES: usize = 16 << 10;
/// Encoded in a row before other connections of the worker have their turn, in bytes of input.
const MAX_BURST_BYTES: usize = 128 << 10;
/// What gathers before a part leaves, unless the upstream pauses or ends.
const PART_BYTES: usize = 8 << 10;

/// Levels that take about as much time as the network saves, as other proxies choose them.
const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// Windows of 64 and 256 KiB. An encoder takes 1.6 MiB at most (measured: br 1.5, zstd 1.3, gzip 0.3), and larger windows
/// gain less than a hundredth.
const BROTLI_WINDOW_BITS: u32 = 16;
const ZSTD_WINDOW_BITS: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 8 << 10;

/// A response body while it is compressed.
pub(crate) struct CompressedBody {
    source: BodySource,
    /// Absent when everything was encoded.
    encoder: Option<Encoder>,
    /// Of the newest frame, what is not yet encoded.
    rest: Bytes,
    source_ended: bool,
    /// Something was encoded that the client could not yet decode.
    unflushed: bool,
    /// Encoded since the source last paused.
    burst_bytes: usize,
    trailers: Option<HeaderMap>,
}

impl CompressedBody {
    /// A body of `length_bytes`, as far as that is known.
    ///
    /// # Errors
    /// The body as it was, if there is no memory for an encoder.
    pub(crate) fn new(
        coding: Coding,
        length_bytes: Option<u64>,
        source: BodySource,
    ) -> Result<Self, BodySource> {
        match Encoder::new(coding, length_bytes) {
            Ok(encoder) => Ok(Self {
                source,
                encoder: Some(encoder),
                rest: Bytes::new(),
                source_ended: false,
                unflushed: false,
                burst_bytes: 0,
                trailers: None,
            }),
            Err(_) => Err(source),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.encoder.is_none() {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if self.rest.is_empty() && !self.source_ended {
                match ready!(self.poll_source(context)) {
                    Ok(None) => {}
                    Ok(Some(part)) => return Poll::Ready(Some(Ok(Frame::data(part)))),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            if self.burst_bytes >= MAX_BURST_BYTES {
                self.burst_bytes = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.encode() {
                Ok(Some(part)) => return Poll::Ready(Some(Ok(Frame::data(part)))),
                Ok(None) => {}
                Err(_) => {
                    return Poll::Ready(Some(Err(BodyError::Stopped(Reason::CompressionFailed))));
                }
            }
        }
    }

    pub(crate) fn take_driver(&mut self) -> Option<Box<Driver>> {
        self.source.take_driver()
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    /// The next frame of the source. While there is none, what was encoded so far goes to the client.
    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        let Poll::Ready(frame) = self.source.poll_frame(context) else {
            self.burst_bytes = 0;
            return match self.flush() {
                Ok(Some(part)) => Poll::Ready(Ok(Some(part))),
                Ok(None) => Poll::Pending,
                Err(_) => Poll::Ready(Err(BodyError::Stopped(Reason::CompressionFailed))),
            };
        };
        match frame.transpose()? {
            None => self.source_ended = true,
            Some(frame) => match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    self.source_ended = self.source.is_end_stream();
                }
                Err(frame) => {
                    self.trailers = super::into_trailers(frame);
                    self.source_ended = true;
                }
            },
        }
        Poll::Ready(Ok(None))
    }

    /// Encodes one piece, and ends the encoding after the last one.
    fn encode(&mut self) -> io::Result<Option<Bytes>> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        if !piece.is_empty() {
            encoder.write_all(&piece)?;
            self.unflushed = true;
            self.burst_bytes += piece.len();
        }
        if self.source_ended && self.rest.is_empty() {
            return Ok(non_empty(encoder.finish()?));
        }
        let part = if encoder.encoded().len() >= PART_BYTES { non_empty(encoder.take()) } else { None };
        self.encoder = Some(encoder);
        Ok(part)
    }

    /// Everything that the client can be given by now.
    fn flush(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.encoder {
            Some(encoder) if self.unflushed => {
                self.unflushed = false;
                encoder.flush()?;
                Ok(non_empty(encoder.take()))
            }
            _ => Ok(None),
        }
    }
}

fn non_empty(bytes: Vec<u8>) -> Option<Bytes> {
    (!bytes.is_empty()).then(|| bytes.into())
}

/// The state of one compression, which writes into memory.
enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding, length_bytes: Option<u64>) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_BITS)?;
                // Small bodies get small tables, which are made in half the time.
                encoder.set_pledged_src_size(length_bytes)?;
                Self::Zstd(encoder)
            }
            Coding::Brotli => Self::Brotli(Box::new(CompressorWriter::new(
                out,
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW_BITS,
            ))),
            Coding::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
        })
    }

    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(piece),
            Self::Brotli(encoder) => encoder.write_all(piece),
            Self::Gzip(encoder) => encoder.write_all(piece),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }

    fn encoded(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.encoded())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}
