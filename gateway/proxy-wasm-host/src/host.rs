//! The seam to whoever embeds this crate: what a guest may touch of a stream, and what the process offers to a plugin.
//!
//! Everything is bytes, so that this crate needs no HTTP library; everything returns at once, so that it needs no
//! runtime. Implementations check names and values for legality; this crate checks pointers, lengths and phases that
//! follow from the ABI alone.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use crate::abi::{LogLevel, MetricKind, Status, StreamBuffer, StreamMap};
use crate::crypto::Cryptography;
use crate::effects::HeaderList;

/// A stream as the plugins of one worker share it. The host never holds a borrow while guest code runs.
pub type SharedStream = Rc<RefCell<dyn StreamAccess>>;

/// One HTTP stream as its filters see it.
pub trait StreamAccess {
    /// The first value of `name` (lower case; pseudo-headers included).
    ///
    /// # Errors
    /// `BadArgument` when the map is not available in this phase; a missing name is `Ok(None)`.
    fn header(&self, map: StreamMap, name: &[u8]) -> Result<Option<&[u8]>, Status>;

    /// Calls `visit` for each entry in order, pseudo-headers first.
    ///
    /// # Errors
    /// `BadArgument` when the map is not available in this phase.
    fn visit_headers(&self, map: StreamMap, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Status>;

    /// Replaces the whole map. Refused as a whole when any name or value is illegal.
    ///
    /// # Errors
    /// `BadArgument` when the map is not available or writable, or an entry is illegal.
    fn set_headers(&mut self, map: StreamMap, entries: &[(&[u8], &[u8])]) -> Result<(), Status>;

    /// Appends a line, keeping those with the same name.
    ///
    /// # Errors
    /// As [`StreamAccess::set_headers`].
    fn add_header(&mut self, map: StreamMap, name: &[u8], value: &[u8]) -> Result<(), Status>;

    /// Removes all lines of that name, then adds one.
    ///
    /// # Errors
    /// As [`StreamAccess::set_headers`].
    fn replace_header(&mut self, map: StreamMap, name: &[u8], value: &[u8]) -> Result<(), Status>;

    /// Removes all lines of that name; a missing name is fine.
    ///
    /// # Errors
    /// As [`StreamAccess::set_headers`].
    fn remove_header(&mut self, map: StreamMap, name: &[u8]) -> Result<(), Status>;

    /// The bytes of the current body callback (accumulated while paused); empty outside of body callbacks.
    fn body(&self, buffer: StreamBuffer) -> &[u8];

    /// Replaces `range` of the body bytes by `data`. `range` lies within the buffer.
    ///
    /// # Errors
    /// `BadArgument` when there is no body callback under way for that buffer; `InternalFailure` over the limit.
    fn splice_body(&mut self, buffer: StreamBuffer, range: Range<usize>, data: &[u8]) -> Result<(), Status>;

    /// Appends the value of a property to `out`. Names of the plugin itself never arrive here.
    ///
    /// # Errors
    /// `NotFound`, or `SerializationFailure` for a name that exists but has no wire form.
    fn property(&self, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status>;

    /// Stores a property under the whole path for this stream and its later filters.
    ///
    /// # Errors
    /// `BadArgument` for an illegal path, `InternalFailure` over the limit.
    fn set_property(&mut self, path: &[&[u8]], value: &[u8]) -> Result<(), Status>;

    /// The guest wants the route of a request to be chosen again; without a choice to make, nothing happens.
    fn clear_route_cache(&mut self) {}
}

/// What the foreign function `verify_signature` is asked.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct SignedText<'a> {
    /// Name of the hash function: sha1, sha224, sha256, sha384, sha512.
    pub hash: &'a [u8],
    /// The public key as SubjectPublicKeyInfo in DER; empty if it comes as PEM.
    pub key_der: &'a [u8],
    /// The same in PEM; empty if it comes as DER.
    pub key_pem: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// What was signed.
    pub text: &'a [u8],
}

/// Which lines of which message a guest makes up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Made {
    /// Of its own answer, without pseudo-headers.
    ReplyHeaders,
    /// Of a callout, pseudo-headers among them.
    CallHeaders,
    /// After the body of a callout.
    CallTrailers,
}

/// What the process offers to one plugin (each plugin has its own instance, so implementations know who asks).
pub trait Services {
    /// Nanoseconds since the Unix epoch.
    fn realtime_ns(&self) -> u64;
    /// Nanoseconds on a clock that never goes back.
    fn monotonic_ns(&self) -> u64;
    /// Fills `bytes` with random data fit for keys; false if the system gives none.
    fn fill_random(&self, bytes: &mut [u8]) -> bool;

    /// Takes one log line; the embedder bounds rate and size.
    fn log(&self, level: LogLevel, message: &[u8]);
    /// Lines below this level are not wanted.
    fn log_level(&self) -> LogLevel;

    /// Too many callouts wait for an answer: a further one was refused.
    fn refused_call(&self) {}

    /// Whether a callout may name this upstream at all (existence, not authority).
    fn knows_upstream(&self, name: &[u8]) -> bool;

    /// Judges lines of a message that the guest makes up, so that an illegal one is refused where it is given.
    ///
    /// # Errors
    /// `BadArgument` when a line is none, or is not the guest's to write.
    fn check_headers(&self, made: Made, headers: &HeaderList) -> Result<(), Status>;

    /// A property asked for without a stream (`Err(NotFound)` if there is none).
    ///
    /// # Errors
    /// As [`StreamAccess::property`].
    fn property(&self, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status>;

    /// Appends the shared value of `key` to `out` and returns its version.
    ///
    /// # Errors
    /// `NotFound`.
    fn shared_data(&self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status>;
    /// Stores a shared value; `cas` 0 is unconditional, otherwise it must equal the version if the key exists.
    ///
    /// # Errors
    /// `CasMismatch`, or `InternalFailure` over the limit.
    fn set_shared_data(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status>;

    /// Registers (or finds again) this plugin's queue of that name.
    ///
    /// # Errors
    /// `InternalFailure` over the limit.
    fn register_queue(&self, name: &[u8]) -> Result<u32, Status>;
    /// Finds a queue by the VM id it was registered under (empty: this plugin's own).
    ///
    /// # Errors
    /// `NotFound`.
    fn resolve_queue(&self, vm_id: &[u8], name: &[u8]) -> Result<u32, Status>;
    /// Appends to a queue.
    ///
    /// # Errors
    /// `NotFound`, or `InternalFailure` over the limit.
    fn enqueue(&self, queue: u32, value: &[u8]) -> Result<(), Status>;
    /// Takes the oldest entry and appends it to `out`.
    ///
    /// # Errors
    /// `NotFound`, `Empty`.
    fn dequeue(&self, queue: u32, out: &mut Vec<u8>) -> Result<(), Status>;

    /// Defines a metric, or finds it again, and returns its id. Guests see ids of this crate's own.
    ///
    /// # Errors
    /// `BadArgument` for an illegal name, `InternalFailure` over the limit.
    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> Result<u32, Status>;
    /// Adds to a counter (above zero only) or a gauge.
    ///
    /// # Errors
    /// `NotFound`, `BadArgument`.
    fn increment_metric(&self, id: u32, offset: i64) -> Result<(), Status>;
    /// Adds to a counter, sets a gauge, records into a histogram.
    ///
    /// # Errors
    /// `NotFound`.
    fn record_metric(&self, id: u32, value: u64) -> Result<(), Status>;
    /// Reads a counter or gauge.
    ///
    /// # Errors
    /// `NotFound`, `BadArgument` for a histogram.
    fn metric(&self, id: u32) -> Result<u64, Status>;

    /// Whoever computes the foreign functions `crypto_...`; without (the default), a guest gets `NotFound` and computes itself.
    fn cryptography(&self) -> Option<&dyn Cryptography> {
        None
    }
    /// Checks a signature; the inner error says in words why it does not hold.
    ///
    /// # Errors
    /// `BadArgument` for a key that does not parse, `NotFound` where there is no cryptography (the default).
    fn verify_signature(&self, _given: &SignedText<'_>) -> Result<Result<(), String>, Status> {
        Err(Status::NotFound)
    }
    /// Appends `bytes` in the format of zlib (RFC 1950) to `out`.
    ///
    /// # Errors
    /// `InternalFailure` over the limit, `NotFound` where there is no compressor (the default).
    fn compress(&self, _bytes: &[u8], _limit_bytes: usize, _out: &mut Vec<u8>) -> Result<(), Status> {
        Err(Status::NotFound)
    }
    /// The reverse of [`Services::compress`].
    ///
    /// # Errors
    /// `SerializationFailure` for bytes that are not of that format, `InternalFailure` over the limit, `NotFound` where
    /// there is no decompressor (the default).
    fn uncompress(&self, _bytes: &[u8], _limit_bytes: usize, _out: &mut Vec<u8>) -> Result<(), Status> {
        Err(Status::NotFound)
    }
}
