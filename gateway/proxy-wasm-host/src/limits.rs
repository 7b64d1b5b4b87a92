//! Every limit of a plugin, named, with its default. What a limit counts belongs to whoever enforces it.

use std::time::Duration;

/// Bounds on one plugin's VM. Reaching one refuses the host call (or the growth) that would go beyond; only the two CPU
/// budgets end the VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of one callback, allocator calls included. Measured in steps of [`Engine::TICK`](crate::Engine::TICK);
    /// ten times as much wall time is the backstop.
    pub callback_cpu: Duration,
    /// CPU time from instantiation to the end of `proxy_on_configure`, all together.
    pub start_cpu: Duration,
    /// Linear memory of the VM.
    pub memory_bytes: usize,
    /// Elements of each table of the VM.
    pub table_elements: usize,
    /// Callouts without an answer, per VM.
    pub pending_calls: usize,
    /// Callouts without an answer that one stream started.
    pub pending_calls_per_stream: usize,
    /// Bytes (headers, body, trailers) of all callouts without an answer.
    pub pending_call_bytes: usize,
    /// Body of one callout.
    pub call_body_bytes: usize,
    /// One local reply: details, headers and body.
    pub reply_bytes: usize,
    /// All local replies asked for and not yet taken by the embedder.
    pub queued_reply_bytes: usize,
    /// Entries of one header map given by the guest.
    pub map_pairs: usize,
    /// Serialized bytes of one header map given by the guest; also bounds a single name.
    pub map_bytes: usize,
    /// A property's path, and a property's value set by the guest.
    pub property_bytes: usize,
    /// The arguments of a foreign function, and its result.
    pub foreign_bytes: usize,
    /// A log line; longer ones are cut.
    pub log_line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            callback_cpu: Duration::from_millis(10),
            start_cpu: Duration::from_secs(30),
            memory_bytes: 128 * MIB,
            table_elements: 100_000,
            pending_calls: 1024,
            pending_calls_per_stream: 32,
            pending_call_bytes: 16 * MIB,
            call_body_bytes: MIB,
            reply_bytes: MIB,
            queued_reply_bytes: 16 * MIB,
            map_pairs: 1024,
            map_bytes: MIB,
            property_bytes: 64 * 1024,
            foreign_bytes: MIB,
            log_line_bytes: 16 * 1024,
        }
    }
}

/// Module files beyond this are refused unread: the largest filters in use (Go with a rule set inside) have 17 MB.
pub const MODULE_BYTES: usize = 64 * 1024 * 1024;
/// What a module says about its filter; more is not kept.
pub const ABOUT_BYTES: usize = 256 * 1024;
/// What is kept of the words with which a filter fails a stream.
pub const FAILURE_BYTES: usize = 1024;
/// Definitions of metrics by one plugin; the same name again is one more.
pub(crate) const METRIC_IDS: usize = 10_000;
/// Memory contents that copies of an image share however sparse they are: all that a filter may have by default.
pub(crate) const IMAGE_BYTES: u64 = 128 * 1024 * 1024;
/// State of a VM (memory that is not zero, and globals) that an image is made of. One with more is started for each VM.
pub(crate) const FROZEN_BYTES: usize = 128 * 1024 * 1024;
/// Imports of a module, and exports. Modules of all SDKs have some hundred.
pub const LISTED_NAMES: usize = 10_000;
/// What the engine itself keeps of one VM in a slot (globals, and an entry for each function that is referred to).
pub(crate) const INSTANCE_BYTES: usize = 16 * 1024 * 1024;
/// Elements of a table in a slot. Beyond it a table does not grow, whatever the plugin's own limit is.
pub(crate) const TABLE_SLOT_ELEMENTS: usize = 100_000;
/// Slots without a user that may be ready for one of the module that they had last; beyond that, other modules take them
/// before they take new ones. Each has mappings of its own, of which a process has only so many.
pub(crate) const WARM_SLOTS: u32 = 16;
/// Memory, and table, that a slot keeps from one user to the next, written over in between. It is all that idle slots have.
pub(crate) const SLOT_BYTES_KEPT: usize = 128 * 1024;
/// Stack of guest code, host calls in between not counted.
pub(crate) const GUEST_STACK_BYTES: usize = 512 * 1024;
/// Tables of one VM; compilers emit one.
pub(crate) const TABLES: usize = 4;
/// Wall time of a callback, as a multiple of its CPU budget.
pub(crate) const WALL_FACTOR: u32 = 10;
/// Frames of the guest's stack in a trap message.
pub(crate) const BACKTRACE_FRAMES: usize = 16;
/// Host calls of a callback that are remembered, for the case that it ends abnormally. A power of two.
pub(crate) const LAST_HOST_CALLS: usize = 8;
/// Bytes of what a guest logs as an error in a callback that are remembered, for the same case.
pub(crate) const LAST_WORDS_BYTES: usize = 1024;
/// Bytes of one function name or file name in a trap message.
pub(crate) const FRAME_NAME_BYTES: usize = 200;
/// The copy buffer of a VM is given back after a callback that made it larger than this.
pub(crate) const SCRATCH_BYTES_KEPT: usize = 256 * 1024;
/// Segments of a property path; the longest known name has four.
pub(crate) const PROPERTY_SEGMENTS: usize = 16;
/// Properties in one call of `get_properties`: a host call is not interrupted.
pub(crate) const PROPERTIES_AT_ONCE: usize = 64;
/// Properties that one plugin may declare.
pub(crate) const DECLARED_PROPERTIES: usize = 1024;
/// Buffers of one `fd_write`, as in POSIX systems.
pub(crate) const WRITE_BUFFERS: u32 = 1024;
/// The key of an HMAC; longer ones are hashed first (RFC 2104, section 2) and can be by the guest.
pub const HMAC_KEY_BYTES: usize = 16 * 1024;
/// A public key: one of RSA with 4096 bits has less than 600.
pub const PUBLIC_KEY_BYTES: usize = 1024;
/// A signature: one of RSA with 4096 bits has 512.
pub const SIGNATURE_BYTES: usize = 1024;
/// `random_get` fills at most this much at once, as in Envoy.
pub(crate) const RANDOM_BYTES: u32 = 64 * 1024;
