//! Any two directions of an HTTP/2 connection, in any pieces: the meter says the same as a plain reading of whole frames with
//! the prices of `docs/security.md`, whatever the pieces are; and its farewell is a frame.
//!
//! The input is a script. Each record is a byte that says what comes, and then that: raw bytes, or a frame a number of times,
//! in either direction; or time.

use gateway_wire::http2_meter::{Excess, Http2Meter};

const MAX_HEAD_BYTES: u32 = 2048;
const PREFACE_BYTES: usize = 24;
/// A longer script says nothing more, and takes longer.
const MAX_BYTES: usize = 1 << 15;

pub fn check(script: &[u8]) {
    let mut script = Script(script);
    let (mut whole, mut single) = (Http2Meter::new(MAX_HEAD_BYTES), Http2Meter::new(MAX_HEAD_BYTES));
    let mut plain = Plain::new();
    let mut now_ms = 0;
    while let Some((step, pause_ms)) = script.next() {
        now_ms += pause_ms;
        let (expected, by_piece, by_byte) = match &step {
            Step::Received(bytes) => {
                // Of nothing, too, the time is taken.
                let by_byte = single
                    .received(&[], now_ms)
                    .and_then(|()| bytes.iter().try_for_each(|byte| single.received(&[*byte], now_ms)));
                (plain.received(bytes, now_ms), whole.received(bytes, now_ms), by_byte)
            }
            Step::Sent(bytes) => {
                let by_byte = bytes.iter().try_for_each(|byte| single.sent(&[*byte]));
                (plain.sent(bytes), whole.sent(bytes), by_byte)
            }
            Step::OwnResets(number) => {
                plain.own_resets += number;
                whole.expect_resets(*number);
                single.expect_resets(*number);
                (true, Ok(()), Ok(()))
            }
        };
        assert_eq!(by_piece, by_byte, "it is a matter of the pieces");
        assert_eq!(by_piece.is_ok(), expected, "{step:?}");
        if let Err(excess) = by_piece {
            plain.check_farewell(&whole.farewell(excess), excess);
            return;
        }
        assert_eq!(whole.unsent(), plain.unsent());
        assert_eq!((whole.unsent(), whole.open_head()), (single.unsent(), single.open_head()));
        assert_eq!(whole.open_head().is_some(), plain.is_head_open());
        if plain.received.len() + plain.sent.len() > MAX_BYTES {
            return;
        }
    }
}

#[derive(Debug)]
enum Step {
    Received(Vec<u8>),
    Sent(Vec<u8>),
    OwnResets(u32),
}

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    /// What happens next, and how long after what was before it.
    fn next(&mut self) -> Option<(Step, u64)> {
        let what = self.byte()?;
        let bytes = match what & 0b110 {
            0b000 => {
                let length = usize::from(self.byte()?).min(self.0.len());
                let (bytes, rest) = self.0.split_at(length);
                self.0 = rest;
                bytes.to_vec()
            }
            0b010 => return Some((Step::OwnResets(u32::from(what >> 3)), 0)),
            0b100 => return Some((Step::Received(Vec::new()), u64::from(self.byte()?) * 8)),
            _ => self.frames()?,
        };
        Some((if what & 1 == 0 { Step::Received(bytes) } else { Step::Sent(bytes) }, u64::from(what >> 3)))
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// One frame, up to 64 times if it is short. Its payload is nothing but a code, where there is room for one.
    fn frames(&mut self) -> Option<Vec<u8>> {
        let (kind, flags, stream, size, times) =
            (self.byte()?, self.byte()?, self.byte()?, self.byte()?, self.byte()?);
        // Short ones in steps of one, others in steps of 64.
        let length = if size < 32 { usize::from(size) } else { usize::from(size - 31) * 64 };
        let size = u32::try_from(length).ok()?.to_be_bytes();
        let mut frame = vec![size[1], size[2], size[3], kind, flags, 0, 0, 0, stream];
        frame.resize(frame.len() + length, 0);
        if let Some(code) = frame.get_mut(12) {
            *code = self.byte()?;
        }
        let most = (MAX_BYTES / frame.len()).max(1);
        Some(frame.repeat((usize::from(times % 64) + 1).min(most)))
    }
}

/// What a connection costs, from all of its bytes.
struct Plain {
    received: Vec<u8>,
    sent: Vec<u8>,
    /// Where the next frame of each direction begins.
    next_received: usize,
    next_sent: usize,
    /// Where the code of the reset ends that is being sent.
    code_ends: Option<usize>,
    allowance: i64,
    refilled_at_ms: u64,
    last_stream: u32,
    head_bytes: usize,
    empty_continuations: usize,
    /// The last frame of a head said that it is not the last.
    head_goes_on: bool,
    last_kind: u8,
    own_resets: u32,
}

impl Plain {
    fn new() -> Self {
        Self {
            received: Vec::new(),
            sent: Vec::new(),
            next_received: PREFACE_BYTES,
            next_sent: 0,
            code_ends: None,
            allowance: 1000,
            refilled_at_ms: 0,
            last_stream: 0,
            head_bytes: 0,
            empty_continuations: 0,
            head_goes_on: false,
            last_kind: u8::MAX,
            own_resets: 0,
        }
    }

    fn received(&mut self, bytes: &[u8], now_ms: u64) -> bool {
        let refill = (now_ms - self.refilled_at_ms) / 10;
        self.refilled_at_ms += refill * 10;
        if self.allowance < 1000 {
            self.allowance = (self.allowance + i64::try_from(refill).expect("a short script")).min(1000);
        }
        self.received.extend_from_slice(bytes);
        while let Some((length, kind, flags, stream)) = frame_at(&self.received, self.next_received) {
            self.next_received += 9 + length;
            self.last_kind = kind;
            let bulk = i64::try_from(length / 256).expect("24 bits");
            let cost = match kind {
                0 if flags & 1 != 0 => 0,
                0 if length == 0 => 10,
                0 => i64::from(flags & 8 != 0 && length <= 256),
                1 => {
                    self.last_stream = self.last_stream.max(stream);
                    (self.head_bytes, self.empty_continuations) = (0, 0);
                    0
                }
                3 => 4 + bulk,
                4 => 10 + bulk,
                9 => {
                    self.empty_continuations += usize::from(length == 0);
                    1
                }
                _ => 1 + bulk,
            };
            self.allowance -= cost;
            if kind == 1 || kind == 9 {
                self.head_bytes += length;
                self.head_goes_on = flags & 4 == 0;
            }
            let is_too_much = self.head_bytes > MAX_HEAD_BYTES as usize || self.empty_continuations > 4;
            if self.allowance < 0 || is_too_much {
                return false;
            }
        }
        true
    }

    fn sent(&mut self, bytes: &[u8]) -> bool {
        self.sent.extend_from_slice(bytes);
        loop {
            if let Some(end) = self.code_ends {
                if self.sent.len() < end {
                    return true;
                }
                self.code_ends = None;
                let code = self.sent[end - 4..end].try_into().map(u32::from_be_bytes).expect("four bytes");
                match code {
                    _ if self.own_resets > 0 => self.own_resets -= 1,
                    7 => self.allowance -= 2,
                    1 | 3 | 5 | 6 | 9 | 11 => self.allowance -= 10,
                    _ => {}
                }
                if self.allowance < 0 {
                    return false;
                }
            }
            let Some((length, kind, flags, _)) = frame_at(&self.sent, self.next_sent) else { return true };
            let gained = i64::from(kind == 0) * 4 + i64::from(kind < 2 && flags & 1 != 0) * 8;
            if gained > 0 {
                self.allowance = (self.allowance + gained).min(10_000);
            }
            self.code_ends = (kind == 3 && length >= 4).then_some(self.next_sent + 13);
            self.next_sent += 9 + length;
        }
    }

    /// What is missing of the frame that is being sent.
    fn unsent(&self) -> usize {
        match self.sent.len().checked_sub(self.next_sent) {
            None => self.next_sent - self.sent.len(),
            Some(0) => 0,
            Some(known) => 9 - known,
        }
    }

    fn is_head_open(&self) -> bool {
        let is_in_payload = self.received.len() < self.next_received;
        let kind = if self.next_received == PREFACE_BYTES { u8::MAX } else { self.last_kind };
        self.head_goes_on || (is_in_payload && (kind == 1 || kind == 9))
    }

    fn check_farewell(&self, frame: &[u8], excess: Excess) {
        let (length, kind, flags, stream) = frame_at(frame, 0).expect("a frame");
        assert_eq!((length + 9, kind, flags, stream), (frame.len(), 7, 0, 0));
        assert_eq!(frame[9..13], self.last_stream.to_be_bytes());
        assert_eq!(frame[13..17], [0, 0, 0, 0xb]);
        assert_eq!(&frame[17..], excess.code().as_bytes());
    }
}

/// Length, kind, flags and stream of the frame whose head is whole there.
fn frame_at(bytes: &[u8], at: usize) -> Option<(usize, u8, u8, u32)> {
    let head = bytes.get(at..at + 9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Some((length, head[3], head[4], stream))
}
