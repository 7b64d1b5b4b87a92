//! Hosts that do one thing wrong: what the kit is measured by.

/// One mistake of a host or its embedder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// `proxy_get_header_map_value` answers the last of several values.
    LastValueOfAHeader,
    /// `proxy_add_header_map_value` replaces.
    AddReplaces,
    /// `proxy_remove_header_map_value` of a missing name fails.
    RemovingNothingFails,
    /// `proxy_set_buffer_bytes` always replaces the whole body.
    SpliceReplacesAll,
    /// `proxy_set_shared_data` does not compare versions.
    VersionsAreIgnored,
    /// `proxy_dequeue_shared_queue` takes the newest entry.
    QueuesAreStacks,
    /// `proxy_increment_metric` takes zero and less for counters.
    CountersGoDown,
    /// A local reply counts only if the callback pauses, too.
    RepliesNeedAPause,
    /// `proxy_continue_stream` without a pause sends the request once more.
    ResumingForwardsTwice,
    /// The answer of a callout loses its headers.
    CalloutsLoseHeaders,
    /// A paused body is not accumulated.
    PausedBodiesAreForgotten,
    /// The end of a stream is not told.
    StreamsEndSilently,
}

/// All of them.
pub const ALL: [Bug; 12] = [
    Bug::LastValueOfAHeader,
    Bug::AddReplaces,
    Bug::RemovingNothingFails,
    Bug::SpliceReplacesAll,
    Bug::VersionsAreIgnored,
    Bug::QueuesAreStacks,
    Bug::CountersGoDown,
    Bug::RepliesNeedAPause,
    Bug::ResumingForwardsTwice,
    Bug::CalloutsLoseHeaders,
    Bug::PausedBodiesAreForgotten,
    Bug::StreamsEndSilently,
];
