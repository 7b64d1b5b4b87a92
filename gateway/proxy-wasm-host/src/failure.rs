//! What is known of a guest that ended abnormally, taken down at once and made readable later.
//!
//! Taking it down costs no look at the module: functions are numbers with offsets, which [`Symbols`](crate::Symbols) turns
//! into names and lines wherever there is time for it.

use std::fmt;

use wasmtime::{Trap, WasmBacktrace};

use crate::deadline::DeadlineExceeded;
use crate::limits::{FRAME_NAME_BYTES, LAST_HOST_CALLS, LAST_WORDS_BYTES};
use crate::symbols::demangle;

/// How a guest ended abnormally.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In one word.
    pub reason: FailureReason,
    /// What ended it, in words.
    pub cause: String,
    /// The guest's functions, the innermost first.
    pub frames: Vec<Frame>,
    /// The host functions that it called last in this callback, the newest last.
    pub host_calls: Vec<&'static str>,
    /// What it logged as an error or wrote to its standard error in this callback: the message of a panic, most often.
    pub last_words: String,
    /// Property `request.id` of the stream that it was called for, if it was called for one.
    pub request_id: Option<String>,
    /// Size of its memory.
    pub memory_bytes: usize,
}

/// Why a guest ended abnormally, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// It ended itself: panics and aborts.
    Unreachable,
    /// The same after it asked for more memory than it may have.
    OutOfMemory,
    /// It read or wrote outside of its memory or tables.
    OutOfBounds,
    /// It called through a pointer that leads to no such function.
    BadCall,
    /// It divided by zero, or a number had no place in its type.
    Arithmetic,
    /// It called itself too deep.
    StackOverflow,
    /// It used up its CPU budget.
    Deadline,
    /// It answered what is no answer.
    BadAnswer,
    /// It called `proc_exit`.
    Exit,
    /// A host function ended it, since it may not be called that way.
    HostCall,
    /// Anything else.
    Other,
}

impl FailureReason {
    /// All there are, by their number.
    pub const ALL: [Self; 11] = [
        Self::Unreachable,
        Self::OutOfMemory,
        Self::OutOfBounds,
        Self::BadCall,
        Self::Arithmetic,
        Self::StackOverflow,
        Self::Deadline,
        Self::BadAnswer,
        Self::Exit,
        Self::HostCall,
        Self::Other,
    ];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::OutOfMemory => "out_of_memory",
            Self::OutOfBounds => "out_of_bounds",
            Self::BadCall => "bad_call",
            Self::Arithmetic => "arithmetic",
            Self::StackOverflow => "stack_overflow",
            Self::Deadline => "deadline",
            Self::BadAnswer => "bad_answer",
            Self::Exit => "exit",
            Self::HostCall => "host_call",
            Self::Other => "other",
        }
    }

    const fn of_trap(trap: Trap) -> Self {
        match trap {
            Trap::UnreachableCodeReached => Self::Unreachable,
            Trap::MemoryOutOfBounds | Trap::HeapMisaligned | Trap::TableOutOfBounds => Self::OutOfBounds,
            Trap::IndirectCallToNull | Trap::BadSignature => Self::BadCall,
            Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
                Self::Arithmetic
            }
            Trap::StackOverflow => Self::StackOverflow,
            _ => Self::Other,
        }
    }
}

/// One function on the guest's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number among the module's functions, imported ones counted.
    pub function: u32,
    /// Where in its body, in bytes from the beginning of that: it stays the same however a module is laid out.
    pub offset: u32,
    /// Its name as the module has it, if it has one.
    pub name: Option<String>,
}

/// The guest called `proc_exit`.
#[derive(Debug, thiserror::Error)]
#[error("the guest ended itself with exit code {code}")]
pub(crate) struct GuestExit {
    pub(crate) code: u32,
}

impl Failure {
    /// From what the engine says; the rest is the caller's to fill in.
    pub(crate) fn of(error: &wasmtime::Error, was_refused_memory: bool) -> Self {
        let reason = if error.is::<DeadlineExceeded>() {
            FailureReason::Deadline
        } else if error.is::<GuestExit>() {
            FailureReason::Exit
        } else {
            match error.downcast_ref::<Trap>() {
                Some(Trap::UnreachableCodeReached) if was_refused_memory => FailureReason::OutOfMemory,
                Some(trap) => FailureReason::of_trap(*trap),
                None => FailureReason::HostCall,
            }
        };
        let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
        let frame = |frame: &wasmtime::FrameInfo| Frame {
            function: frame.func_index(),
            offset: frame.func_offset().and_then(|offset| u32::try_from(offset).ok()).unwrap_or(0),
            name: frame.func_name().map(str::to_owned),
        };
        let frames = frames.iter().map(frame).collect();
        Self { frames, ..Self::new(reason, error.root_cause().to_string()) }
    }

    /// An answer that is none.
    pub(crate) fn bad_answer(cause: String) -> Self {
        Self::new(FailureReason::BadAnswer, cause)
    }

    fn new(reason: FailureReason, cause: String) -> Self {
        Self {
            reason,
            cause,
            frames: Vec::new(),
            host_calls: Vec::new(),
            last_words: String::new(),
            request_id: None,
            memory_bytes: 0,
        }
    }
}

/// The cause, then one line for each function.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        for frame in &self.frames {
            match &frame.name {
                Some(name) => write!(f, "\n  at {}", demangle(name))?,
                None => write!(f, "\n  at function {}", frame.function)?,
            }
            write!(f, " (+{:#x})", frame.offset)?;
        }
        Ok(())
    }
}

/// Text of a guest on its way to a log: it must neither break lines nor flood.
pub(crate) fn tamed(text: &str, max_bytes: usize) -> String {
    let mut tame = String::new();
    for character in text.chars() {
        let escaped = character.is_control() || is_reordering(character);
        if tame.len() + character.len_utf8() > max_bytes {
            break;
        }
        if escaped { tame.extend(character.escape_debug()) } else { tame.push(character) }
    }
    tame
}

/// Marks that change the order in which text is shown.
const fn is_reordering(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(crate) fn tamed_name(name: &str) -> String {
    tamed(name, FRAME_NAME_BYTES)
}

/// What a guest did last, kept while it runs. Costs two stores for each host call.
pub(crate) struct Trace {
    calls: [&'static str; LAST_HOST_CALLS],
    /// All host calls so far.
    count: u64,
    /// Of those, the ones before the current callback.
    before: u64,
    /// Of those, the ones that were asked for.
    counted: u64,
    words: Vec<u8>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { calls: [""; LAST_HOST_CALLS], count: 0, before: 0, counted: 0, words: Vec::new() }
    }
}

impl Trace {
    /// A callback begins.
    pub(crate) fn begin(&mut self) {
        self.before = self.count;
        self.words.clear();
    }

    /// The guest calls a host function.
    pub(crate) fn note(&mut self, name: &'static str) {
        // The remainder of a power of two.
        self.calls[(self.count % LAST_HOST_CALLS as u64) as usize] = name;
        self.count = self.count.wrapping_add(1);
    }

    /// The guest says what is wrong; the beginning is what matters.
    pub(crate) fn say(&mut self, text: &[u8]) {
        let text = text.trim_ascii();
        if text.is_empty() {
            return;
        }
        if !self.words.is_empty() && self.words.len() < LAST_WORDS_BYTES {
            self.words.push(b'\n');
        }
        let room = LAST_WORDS_BYTES.saturating_sub(self.words.len());
        self.words.extend_from_slice(&text[..text.len().min(room)]);
    }

    /// Host calls since this was last asked, in all callbacks.
    pub(crate) fn take_count(&mut self) -> u64 {
        let calls = self.count.wrapping_sub(self.counted);
        self.counted = self.count;
        calls
    }

    /// The last host calls of this callback, the newest last.
    pub(crate) fn last_calls(&self) -> Vec<&'static str> {
        let in_callback = self.count.wrapping_sub(self.before).min(LAST_HOST_CALLS as u64);
        let first = self.count.wrapping_sub(in_callback);
        (0..in_callback)
            .map(|index| self.calls[(first.wrapping_add(index) % LAST_HOST_CALLS as u64) as usize])
            .collect()
    }

    pub(crate) fn last_words(&self) -> String {
        String::from_utf8_lossy(&self.words).into_owned()
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
