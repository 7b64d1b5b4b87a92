//! Whether what passes over a connection of HTTP/2 serves requests, judged by the heads of its frames (RFC 9113, section 4.1).
//!
//! An HTTP/2 client can make a server work without ever asking for anything: by streams that it resets at once or gets
//! reset by mistakes, settings and pings to be answered, priorities, windows, empty pieces of bodies and heads, frames of
//! no known kind. Each costs little, and a library that answers each faithfully never ends it. Here a connection has an
//! allowance for such frames. Time refills it, and so does progress: bytes of responses, and responses that end.
//!
//! Payloads are not looked at, but for the code of a reset that the server sends. Knows no socket and no clock.

/// Frames without progress that a connection may send at once.
pub const ALLOWANCE: i64 = 1000;
/// How much of that comes back in a second.
pub const REFILL_PER_SECOND: i64 = 100;
/// Most that progress may save up. A client that takes in a long response says so in many small steps, some of them late.
pub const MAX_ALLOWANCE: i64 = 10_000;
/// Empty CONTINUATION frames that one head may have.
pub const MAX_EMPTY_CONTINUATIONS: u32 = 4;

/// What a frame of the response gives back: a client may answer each by two windows and a ping.
const GAIN_DATA: i64 = 4;
/// What the end of a response gives back.
const GAIN_RESPONSE: i64 = 8;
const COST_FRAME: i64 = 1;
/// Two requests may be called off for each one that is answered.
const COST_RESET: i64 = 4;
/// No client has a reason to send many.
const COST_SETTINGS: i64 = 10;
const COST_EMPTY_DATA: i64 = 10;
/// A reset that the client's mistake brought about.
const COST_CAUSED_RESET: i64 = 10;
/// A stream over the limit: a client may open some before it knows of that.
const COST_REFUSED_STREAM: i64 = 2;
/// Payload of frames that serve nothing, per unit of cost.
const BYTES_PER_COST: u32 = 256;
/// A padded DATA frame up to this may be padding alone.
const MAX_ALL_PADDING: u32 = 256;

const PREFACE_BYTES: u32 = 24;
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// Codes of resets that a client's mistake brings about (RFC 9113, section 7): PROTOCOL_ERROR, FLOW_CONTROL_ERROR,
/// STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM. The server's own reasons have others.
const CLIENT_MISTAKES: [u32; 6] = [0x1, 0x3, 0x5, 0x6, 0x9, ENHANCE_YOUR_CALM];
const REFUSED_STREAM: u32 = 0x7;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What there was too much of: what most of the allowance was spent on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Excess {
    /// Requests that the client called off.
    Resets,
    /// Requests that had to be reset for the client's mistakes, or were over the limit.
    CausedResets,
    /// SETTINGS.
    Settings,
    /// PING.
    Pings,
    /// WINDOW_UPDATE.
    Windows,
    /// PRIORITY.
    Priorities,
    /// DATA with nothing in it, or nothing but padding.
    EmptyData,
    /// One head: its bytes, or its empty frames.
    Head,
    /// Frames of any other kind.
    Unknown,
}

impl Excess {
    const ALL: [Self; 9] = [
        Self::Resets,
        Self::CausedResets,
        Self::Settings,
        Self::Pings,
        Self::Windows,
        Self::Priorities,
        Self::EmptyData,
        Self::Head,
        Self::Unknown,
    ];

    /// A stable name, for metrics and for whoever is told to go away.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Resets => "http2_resets",
            Self::CausedResets => "http2_caused_resets",
            Self::Settings => "http2_settings",
            Self::Pings => "http2_pings",
            Self::Windows => "http2_windows",
            Self::Priorities => "http2_priorities",
            Self::EmptyData => "http2_empty_data",
            Self::Head => "http2_head",
            Self::Unknown => "http2_unknown",
        }
    }
}

/// What one connection has done so far. The server's side.
#[derive(Debug)]
pub struct Http2Meter {
    received: Frames,
    sent: Frames,
    allowance: i64,
    /// By kind, since the allowance was whole.
    spent: [i64; Excess::ALL.len()],
    refilled_at_ms: u64,
    last_stream: u32,
    /// A head has begun and not ended.
    in_head: bool,
    heads: u64,
    head_bytes: u32,
    max_head_bytes: u32,
    empty_continuations: u32,
    /// Resets to be sent for reasons of the server's own.
    own_resets: u32,
}

impl Http2Meter {
    /// For a connection from its first byte on, the preface included; `max_head_bytes` bounds a head as it is sent,
    /// compressed and in whatever number of frames.
    #[must_use]
    pub const fn new(max_head_bytes: u32) -> Self {
        Self {
            received: Frames::after(PREFACE_BYTES),
            sent: Frames::after(0),
            allowance: ALLOWANCE,
            spent: [0; Excess::ALL.len()],
            refilled_at_ms: 0,
            last_stream: 0,
            in_head: false,
            heads: 0,
            head_bytes: 0,
            max_head_bytes,
            empty_continuations: 0,
            own_resets: 0,
        }
    }

    /// Looks at bytes from the client. `now_ms` counts from any moment on, and never back.
    ///
    /// # Errors
    /// What there was too much of. The connection should end; this meter is of no more use.
    pub fn received(&mut self, mut bytes: &[u8], now_ms: u64) -> Result<(), Excess> {
        self.refill(now_ms);
        while let Some(event) = self.received.next(&mut bytes, false) {
            if let Event::Begins(frame) = event {
                self.judge(frame)?;
            }
        }
        Ok(())
    }

    /// Looks at bytes that the client is sent.
    ///
    /// # Errors
    /// As for [`Http2Meter::received`].
    pub fn sent(&mut self, mut bytes: &[u8]) -> Result<(), Excess> {
        while let Some(event) = self.sent.next(&mut bytes, true) {
            match event {
                Event::Begins(Frame { kind: kind @ (DATA | HEADERS), flags, .. }) => {
                    if kind == DATA {
                        self.gain(GAIN_DATA);
                    }
                    if flags & END_STREAM != 0 {
                        self.gain(GAIN_RESPONSE);
                    }
                }
                Event::Begins(_) => {}
                Event::Resets(_) if self.own_resets > 0 => self.own_resets -= 1,
                Event::Resets(REFUSED_STREAM) => self.spend(COST_REFUSED_STREAM, Excess::CausedResets)?,
                Event::Resets(code) if CLIENT_MISTAKES.contains(&code) => {
                    self.spend(COST_CAUSED_RESET, Excess::CausedResets)?;
                }
                Event::Resets(_) => {}
            }
        }
        Ok(())
    }

    /// So many of the next resets that are sent are not the client's doing, whatever their code.
    pub fn expect_resets(&mut self, number: u32) {
        self.own_resets = self.own_resets.saturating_add(number);
    }

    /// Bytes that are certainly missing from a frame of which the client was sent a part; 0 between two frames.
    #[must_use]
    pub const fn unsent(&self) -> usize {
        self.sent.missing()
    }

    /// The number of the head that the client has begun and not ended, if there is one.
    #[must_use]
    pub const fn open_head(&self) -> Option<u64> {
        let is_open = self.in_head || self.received.is_in(HEADERS) || self.received.is_in(CONTINUATION);
        if is_open { Some(self.heads) } else { None }
    }

    /// A GOAWAY frame with the code ENHANCE_YOUR_CALM and the reason in words.
    #[must_use]
    pub fn farewell(&self, excess: Excess) -> Vec<u8> {
        let debug = excess.code().as_bytes();
        // The names above are short.
        let length = u32::try_from(8 + debug.len()).unwrap_or(8).to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], GOAWAY, 0, 0, 0, 0, 0];
        frame.extend_from_slice(&self.last_stream.to_be_bytes());
        frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
        frame.extend_from_slice(debug);
        frame
    }

    fn judge(&mut self, frame: Frame) -> Result<(), Excess> {
        let Frame { kind, flags, length, stream } = frame;
        let bulk = i64::from(length / BYTES_PER_COST);
        match kind {
            DATA if flags & END_STREAM != 0 => Ok(()),
            DATA if length == 0 => self.spend(COST_EMPTY_DATA, Excess::EmptyData),
            DATA if flags & PADDED != 0 && length <= MAX_ALL_PADDING => {
                self.spend(COST_FRAME, Excess::EmptyData)
            }
            DATA => Ok(()),
            HEADERS => {
                self.heads += 1;
                self.last_stream = self.last_stream.max(stream);
                (self.head_bytes, self.empty_continuations) = (0, 0);
                self.head(flags, length)
            }
            CONTINUATION => {
                self.empty_continuations += u32::from(length == 0);
                self.spend(COST_FRAME, Excess::Head)?;
                self.head(flags, length)
            }
            PRIORITY => self.spend(COST_FRAME + bulk, Excess::Priorities),
            RST_STREAM => self.spend(COST_RESET + bulk, Excess::Resets),
            SETTINGS => self.spend(COST_SETTINGS + bulk, Excess::Settings),
            PING => self.spend(COST_FRAME + bulk, Excess::Pings),
            WINDOW_UPDATE => self.spend(COST_FRAME + bulk, Excess::Windows),
            _ => self.spend(COST_FRAME + bulk, Excess::Unknown),
        }
    }

    fn head(&mut self, flags: u8, length: u32) -> Result<(), Excess> {
        self.in_head = flags & END_HEADERS == 0;
        self.head_bytes = self.head_bytes.saturating_add(length);
        if self.head_bytes > self.max_head_bytes || self.empty_continuations > MAX_EMPTY_CONTINUATIONS {
            return Err(Excess::Head);
        }
        Ok(())
    }

    fn refill(&mut self, now_ms: u64) {
        let ms_per_unit = 1000 / REFILL_PER_SECOND.unsigned_abs();
        let units = now_ms.saturating_sub(self.refilled_at_ms) / ms_per_unit;
        self.refilled_at_ms += units * ms_per_unit;
        if self.allowance < ALLOWANCE {
            let units = i64::try_from(units).unwrap_or(ALLOWANCE);
            self.allowance = self.allowance.saturating_add(units).min(ALLOWANCE);
        }
        if self.allowance >= ALLOWANCE {
            self.spent = [0; Excess::ALL.len()];
        }
    }

    fn gain(&mut self, units: i64) {
        self.allowance = (self.allowance + units).min(MAX_ALLOWANCE);
    }

    fn spend(&mut self, units: i64, on: Excess) -> Result<(), Excess> {
        self.allowance -= units;
        self.spent[on as usize] += units;
        if self.allowance >= 0 {
            return Ok(());
        }
        Err(Excess::ALL.into_iter().max_by_key(|kind| self.spent[*kind as usize]).unwrap_or(on))
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

enum Event {
    /// A frame begins.
    Begins(Frame),
    /// A stream is reset with this code.
    Resets(u32),
}

/// Finds frames in one direction of a connection, however it is cut into pieces.
#[derive(Debug)]
struct Frames {
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that are known.
    known: usize,
    /// Bytes of the payload that are still to come.
    payload: u32,
    kind: u8,
    code: u32,
    /// Bytes of `code` that are still to come.
    code_left: u8,
}

impl Frames {
    /// The first frame begins after so many bytes of something else.
    const fn after(bytes: u32) -> Self {
        Self { head: [0; HEAD_BYTES], known: 0, payload: bytes, kind: u8::MAX, code: 0, code_left: 0 }
    }

    /// The next thing of note, with `bytes` shortened by what was looked at; `None` when they are used up. The code of a
    /// reset is read only if it is wanted.
    fn next(&mut self, bytes: &mut &[u8], wants_codes: bool) -> Option<Event> {
        while self.code_left > 0 {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            self.code = self.code << 8 | u32::from(*byte);
            self.code_left -= 1;
            self.payload -= 1;
            if self.code_left == 0 {
                return Some(Event::Resets(self.code));
            }
        }
        let skipped = bytes.len().min(self.payload as usize);
        *bytes = &bytes[skipped..];
        // No more than `payload`, which is a `u32`.
        self.payload -= skipped as u32;
        let wanted = HEAD_BYTES - self.known;
        let taken = wanted.min(bytes.len());
        if taken == 0 {
            return None;
        }
        self.head[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
        *bytes = &bytes[taken..];
        self.known += taken;
        if taken < wanted {
            return None;
        }
        self.known = 0;
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        self.payload = u32::from_be_bytes([0, a, b, c]);
        self.kind = kind;
        if wants_codes && kind == RST_STREAM && self.payload >= 4 {
            (self.code, self.code_left) = (0, 4);
        }
        Some(Event::Begins(Frame { length: self.payload, kind, flags, stream }))
    }

    const fn missing(&self) -> usize {
        if self.known > 0 { HEAD_BYTES - self.known } else { self.payload as usize }
    }

    const fn is_in(&self, kind: u8) -> bool {
        self.payload > 0 && self.kind == kind
    }
}

#[cfg(test)]
#[path = "http2_meter_tests.rs"]
mod tests;
