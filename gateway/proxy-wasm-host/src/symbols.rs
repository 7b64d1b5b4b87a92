//! From numbers of a [`Failure`](crate::Failure) to names, files and lines, by what a module's file says about its code.
//!
//! Function names come from the name section, files and lines from DWARF. Its addresses are relative to the code section
//! (<https://webassembly.github.io/debugging-stuff/DWARF/>), and so the file that was loaded serves for every module made
//! from it, whatever its layout is: a frame says which function and where in its body. Reading debug information takes
//! time and memory that a thread which serves traffic does not have.

use std::fmt;

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};

use crate::failure::{Failure, Frame, tamed, tamed_name};
use crate::limits::{BACKTRACE_FRAMES, LAST_WORDS_BYTES};
use crate::module::{Layout, LoadError};

/// What a module's file says about its code.
pub struct Symbols<'w> {
    layout: Layout<'w>,
    lines: Option<Lines<'w>>,
}

type Lines<'w> = addr2line::Context<EndianSlice<'w, LittleEndian>>;

/// One place in the guest's source, or as near to it as the module tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The function, readable; its number if it has no name.
    pub function: String,
    /// Where it is in its source file, if the module has debug information.
    pub source: Option<SourceLine>,
    /// Offset in the module's file, for tools; `None` for a function that was inlined into the next one.
    pub offset: Option<usize>,
}

/// A line of source code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// As the compiler was given it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0 is unknown.
    pub column: u32,
}

impl<'w> Symbols<'w> {
    /// Reads where functions are, and the index of the debug information if there is any.
    ///
    /// # Errors
    /// Not a module. Names and debug information that do not parse are left out.
    pub fn read(wasm: &'w [u8]) -> Result<Self, LoadError> {
        let layout = Layout::read(wasm)?;
        let lines = if layout.has_debug_information() { lines(&layout) } else { None };
        Ok(Self { layout, lines })
    }

    /// Whether there are files and lines, and not names alone.
    pub fn has_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// The guest's stack, the innermost function first, without those that only carry a panic on: what went wrong is in
    /// the first that is left.
    pub fn stack(&self, failure: &Failure) -> Vec<Location> {
        let mut stack: Vec<_> = failure.frames.iter().flat_map(|frame| self.locate(frame)).collect();
        let carriers = stack.iter().take_while(|location| carries_panics(&location.function)).count();
        // All of them are better than none.
        if carriers < stack.len() {
            stack.drain(..carriers);
        }
        stack.truncate(BACKTRACE_FRAMES);
        stack
    }

    /// One frame: functions that were inlined there before the one that holds them.
    fn locate(&self, frame: &Frame) -> Vec<Location> {
        let name = frame.name.as_deref().or_else(|| self.layout.function_name(frame.function));
        let name = name.map_or_else(|| format!("function {}", frame.function), demangle);
        let body = self.layout.body(frame.function);
        let offset = body.map(|body| body + frame.offset as usize);
        let mut found = Vec::new();
        if let (Some(lines), Some(offset)) = (&self.lines, offset) {
            let address = offset.saturating_sub(self.layout.code());
            found = inlined(lines, address as u64).unwrap_or_default();
        }
        match found.last_mut() {
            Some(outermost) => {
                outermost.offset = offset;
                // The name section tells functions apart that are the same to DWARF.
                if outermost.function.is_empty() {
                    outermost.function = name;
                }
            }
            None => found.push(Location { function: name, source: None, offset }),
        }
        for location in &mut found {
            if location.function.is_empty() {
                "?".clone_into(&mut location.function);
            }
        }
        found
    }
}

fn lines<'w>(layout: &Layout<'w>) -> Option<Lines<'w>> {
    let section = |id: SectionId| {
        let bytes = layout.custom(id.name()).unwrap_or_default();
        Ok::<_, addr2line::gimli::Error>(EndianSlice::new(bytes, LittleEndian))
    };
    addr2line::Context::from_dwarf(Dwarf::load(section).ok()?).ok()
}

fn inlined(lines: &Lines<'_>, address: u64) -> Option<Vec<Location>> {
    let mut frames = lines.find_frames(address).skip_all_loads().ok()?;
    let mut found = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        let function = frame.function.as_ref().and_then(|name| Some(demangle(&name.raw_name().ok()?)));
        let source = frame.location.as_ref().and_then(|location| {
            Some(SourceLine {
                file: tamed_name(location.file?),
                line: location.line?,
                column: location.column.unwrap_or(0),
            })
        });
        found.push(Location { function: function.unwrap_or_default(), source, offset: None });
    }
    Some(found)
}

/// A name as a person wrote it, of Rust and of C++; anything else as it is.
pub(crate) fn demangle(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the hash.
        return tamed_name(&format!("{rust:#}"));
    }
    if name.starts_with("_Z")
        && let Ok(symbol) = cpp_demangle::Symbol::new(name)
        && let Ok(text) = symbol.demangle()
    {
        return tamed_name(&text);
    }
    tamed_name(name)
}

/// Functions of the standard libraries of Rust, C++ and Go between what went wrong and the end.
fn carries_panics(function: &str) -> bool {
    const PREFIXES: [&str; 19] = [
        "__rust_",
        "__rustc",
        "rust_begin_unwind",
        "rust_panic",
        "std::panicking::",
        "core::panicking::",
        "std::process::abort",
        "std::sys::",
        "std::alloc::rust_oom",
        "alloc::alloc::handle_alloc_error",
        "core::option::unwrap_failed",
        "core::option::expect_failed",
        "core::result::unwrap_failed",
        "core::ops::function::FnOnce::call_once",
        "abort",
        "__abort",
        "std::terminate",
        "runtime.abort",
        "runtime.runtimePanic",
    ];
    let function = function.trim_start_matches('<');
    PREFIXES.iter().any(|prefix| function.starts_with(prefix))
}

/// `function (file:line:column)`
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match (&self.source, self.offset) {
            (Some(SourceLine { file, line, column: 0 }), _) => write!(f, " ({file}:{line})"),
            (Some(SourceLine { file, line, column }), _) => write!(f, " ({file}:{line}:{column})"),
            (None, Some(offset)) => write!(f, " (at {offset:#x})"),
            (None, None) => Ok(()),
        }
    }
}

/// Everything there is to say of a failure, a line each.
pub fn explain(wasm: &[u8], failure: &Failure) -> String {
    let mut text = failure.cause.clone();
    for line in failure.last_words.lines() {
        text.push_str(&format!("\n  it said: {}", tamed(line, LAST_WORDS_BYTES)));
    }
    match Symbols::read(wasm) {
        Ok(symbols) => {
            for location in symbols.stack(failure) {
                text.push_str(&format!("\n  at {location}"));
            }
        }
        // It was loaded, so it is a module.
        Err(_) => text = failure.to_string(),
    }
    if !failure.host_calls.is_empty() {
        text.push_str(&format!("\n  host calls before: {}", failure.host_calls.join(", ")));
    }
    text
}

#[cfg(test)]
#[path = "symbols_tests.rs"]
mod tests;
