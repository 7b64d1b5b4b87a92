//! Why a version of a filter does not serve: the gate that it failed at, and what an operator reads.
//!
//! Owns the codes, which stand in log, status, metric labels and history: they are stable. Knows nothing of how a gate
//! looks.

use std::fmt;

/// What a version of a filter passes on its way from a file to traffic, in this order. Failing at one keeps what served
/// before.
#[allow(dead_code, reason = "each stands for a gate, whether it refuses by itself or not")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Gate {
    /// The directory has a module of that name.
    Present,
    /// The file's name is one of a filter.
    Name,
    /// The file stands still: nobody writes to it.
    Stable,
    /// It is a regular file, or a link to one.
    RegularFile,
    /// It can be read.
    Readable,
    /// It is within its limits.
    Size,
    /// The manifest reads well, and what it names is in the configuration.
    Manifest,
    /// The content is the one that the manifest pins.
    Hash,
    /// The bytes are a WebAssembly module.
    Parse,
    /// The module is one of Proxy-Wasm: marker, memory, allocator, callbacks.
    Abi,
    /// All that the module imports is offered.
    Imports,
    /// It compiles within its limits.
    Compile,
    /// It starts.
    Start,
    /// It takes its configuration.
    Configure,
    /// One made-up request goes through its callbacks within their budget.
    Request,
    /// Every worker has it ready.
    Prepare,
    /// It serves.
    Commit,
}

impl Gate {
    /// Every gate, in order.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 17] = [
        Self::Present,
        Self::Name,
        Self::Stable,
        Self::RegularFile,
        Self::Readable,
        Self::Size,
        Self::Manifest,
        Self::Hash,
        Self::Parse,
        Self::Abi,
        Self::Imports,
        Self::Compile,
        Self::Start,
        Self::Configure,
        Self::Request,
        Self::Prepare,
        Self::Commit,
    ];

    /// The stable name: for log, status, metric label and history.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Name => "name",
            Self::Stable => "stable",
            Self::RegularFile => "regular-file",
            Self::Readable => "readable",
            Self::Size => "size",
            Self::Manifest => "manifest",
            Self::Hash => "hash",
            Self::Parse => "parse",
            Self::Abi => "abi",
            Self::Imports => "imports",
            Self::Compile => "compile",
            Self::Start => "start",
            Self::Configure => "configure",
            Self::Request => "request",
            Self::Prepare => "prepare",
            Self::Commit => "commit",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

/// A version that failed at a gate. Shown as its message alone.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// Where it failed.
    pub(crate) gate: Gate,
    /// Why. One of several lines has its sum on the first.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn at(gate: Gate, message: impl fmt::Display) -> Self {
        Self { gate, message: message.to_string() }
    }

    /// The message's first line.
    pub(crate) fn sum(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_fit_a_metric_label_and_a_file() {
        let codes: std::collections::BTreeSet<_> = Gate::ALL.iter().map(|gate| gate.code()).collect();
        assert_eq!(codes.len(), Gate::ALL.len());
        for code in codes {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
        }
        assert!(Gate::ALL.is_sorted(), "a gate that comes later is greater");
    }

    #[test]
    fn a_message_of_several_lines_has_its_sum_first() {
        let refusal = Refusal::at(Gate::Manifest, "2 errors\none\ntwo");
        assert_eq!(refusal.sum(), "2 errors");
        assert_eq!(Refusal::at(Gate::Manifest, "").sum(), "");
    }
}
