//! What users may write about filters that fail or use too much.

use crate::read::section;
use crate::values::{Cores, Size, Span, Switch, Whole};

/// More than one filter can use on any machine is no budget.
pub(crate) type CpuPerSecond = Cores;
pub(crate) type PendingCalls = Whole<0, 65_536>;
pub(crate) type LinesPerSecond = Whole<0, 1_000_000>;
pub(crate) type BytesPerSecond = Size<0, { 1 << 30 }>;
pub(crate) type MetricCount = Whole<0, 10_000>;
pub(crate) type DataBytes = Size<0, { 1 << 30 }>;
pub(crate) type KeyCount = Whole<0, 10_000_000>;
pub(crate) type EntryCount = Whole<0, 1_000_000>;
/// The client is told that something failed.
pub(crate) type FailureStatus = Whole<400, 599>;
/// None at all would be always reached.
pub(crate) type Share = Whole<1, 100>;
/// Never by a single call.
pub(crate) type CallCount = Whole<2, 1_000_000>;
pub(crate) type Window = Span<1_000, 3_600_000>;
pub(crate) type Backoff = Span<100, 3_600_000>;
pub(crate) type ProbeCount = Whole<1, 1_000>;

section! {
    /// When a filter that keeps failing is not called for a while.
    Quarantine {
        /// `false` lets it fail for ever. Default: true.
        optional "enabled" enabled: Switch,
        /// Share of the calls within the window that fail, in percent. Default: 50.
        optional "share" share: Share,
        /// So many calls have to be within the window. Default: 20.
        optional "calls" calls: CallCount,
        /// How far back calls count. Default: 10s.
        optional "window" window: Window,
        /// The first wait before a single request tries the filter again; it doubles each time that fails. Default: 1s.
        optional "backoff" backoff: Backoff,
        /// The longest wait. Default: 60s.
        optional "maxBackoff" max_backoff: Backoff,
        /// Tries that have to succeed in a row before the filter serves again. Default: 3.
        optional "probes" probes: ProbeCount,
    }
}
