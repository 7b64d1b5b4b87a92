//! The only code that touches guest memory: reads of what the guest points to, and values handed to the guest.
//!
//! Every pointer is checked; one outside of memory is [`Status::InvalidMemoryAccess`]. A value for the guest is placed in
//! memory that the guest's own allocator provides, so each hand-over is a nested call into the guest.

use wasmtime::{AsContextMut, Caller};

use crate::abi::Status;
use crate::state::{HostState, Phase};

/// A host function's view of its VM.
pub(crate) type Guest<'a> = Caller<'a, HostState>;

/// How a host function ends.
pub(crate) type Outcome = Result<(), Refusal>;

/// Why a host function did not succeed.
pub(crate) enum Refusal {
    /// The guest gets this number.
    Status(Status),
    /// The guest ends: its allocator trapped or ran out of time.
    Trap(wasmtime::Error),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Bytes the guest points to.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

/// Where the guest wants pointer and length of a value handed to it.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) pointer_at: u32,
    pub(crate) length_at: u32,
}

impl Span {
    pub(crate) fn new(at: u32, len: u32) -> Self {
        Self { at, len }
    }

    pub(crate) fn read(self, memory: &[u8]) -> Result<&[u8], Status> {
        let end = (self.at as usize).checked_add(self.len as usize).ok_or(Status::InvalidMemoryAccess)?;
        memory.get(self.at as usize..end).ok_or(Status::InvalidMemoryAccess)
    }

    pub(crate) fn read_mut(self, memory: &mut [u8]) -> Result<&mut [u8], Status> {
        let end = (self.at as usize).checked_add(self.len as usize).ok_or(Status::InvalidMemoryAccess)?;
        memory.get_mut(self.at as usize..end).ok_or(Status::InvalidMemoryAccess)
    }
}

impl Out {
    pub(crate) fn new(pointer_at: u32, length_at: u32) -> Self {
        Self { pointer_at, length_at }
    }

    fn check(self, memory: &[u8]) -> Result<(), Status> {
        Span::new(self.pointer_at, 4).read(memory)?;
        Span::new(self.length_at, 4).read(memory).map(|_| ())
    }

    fn write(self, memory: &mut [u8], pointer: u32, length: u32) -> Result<(), Status> {
        write(memory, self.pointer_at, pointer.to_le_bytes())?;
        write(memory, self.length_at, length.to_le_bytes())
    }
}

/// Guest memory beside the state of its VM.
pub(crate) fn split<'a>(guest: &'a mut Guest<'_>) -> Result<(&'a mut [u8], &'a mut HostState), Status> {
    let memory = match guest.data().memory {
        Some(memory) => memory,
        None => {
            let export = guest.get_export("memory").and_then(wasmtime::Extern::into_memory);
            export.ok_or(Status::InvalidMemoryAccess)?
        }
    };
    Ok(memory.data_and_store_mut(guest.as_context_mut()))
}

/// Writes a number, little endian.
pub(crate) fn write<const N: usize>(memory: &mut [u8], at: u32, bytes: [u8; N]) -> Result<(), Status> {
    let rest = memory.get_mut(at as usize..).ok_or(Status::InvalidMemoryAccess)?;
    *rest.first_chunk_mut::<N>().ok_or(Status::InvalidMemoryAccess)? = bytes;
    Ok(())
}

/// Hands over the bytes that `produce` appends to a buffer; no bytes are pointer 0 and length 0. The places to write to are
/// checked before `produce` runs, and written only if it succeeds.
pub(crate) fn hand_over(
    guest: &mut Guest<'_>,
    out: Out,
    produce: impl FnOnce(&[u8], &mut HostState, &mut Vec<u8>) -> Result<(), Status>,
) -> Outcome {
    let mut bytes = std::mem::take(&mut guest.data_mut().scratch);
    bytes.clear();
    let produced = split(guest).and_then(|(memory, state)| {
        out.check(memory)?;
        produce(memory, state, &mut bytes)
    });
    let outcome = match produced {
        Ok(()) => hand_over_with(guest, out, bytes.len(), |_, target| target.copy_from_slice(&bytes)),
        Err(status) => Err(status.into()),
    };
    guest.data_mut().scratch = bytes;
    outcome
}

/// Hands over `len` bytes that `fill` writes straight into guest memory.
pub(crate) fn hand_over_with(
    guest: &mut Guest<'_>,
    out: Out,
    len: usize,
    fill: impl FnOnce(&HostState, &mut [u8]),
) -> Outcome {
    let len = u32::try_from(len).map_err(|_| Status::InternalFailure)?;
    // Checks both places before the guest allocates anything.
    out.write(split(guest)?.0, 0, 0)?;
    if len == 0 {
        return Ok(());
    }
    let pointer = allocate(guest, len)?;
    let (memory, state) = split(guest)?;
    fill(state, Span::new(pointer, len).read_mut(memory)?);
    Ok(out.write(memory, pointer, len)?)
}

/// Calls the guest's allocator, under the deadline of the callback that is under way.
fn allocate(guest: &mut Guest<'_>, len: u32) -> Result<u32, Refusal> {
    let state = guest.data_mut();
    let allocator = state.allocator.take().ok_or(Status::InternalFailure)?;
    state.phase = Phase::Allocating;
    let result = allocator.call(&mut *guest, len);
    let state = guest.data_mut();
    state.phase = Phase::Running;
    state.allocator = Some(allocator);
    match result {
        Ok(0) => Err(Status::InvalidMemoryAccess.into()),
        Ok(pointer) => Ok(pointer),
        Err(trap) => Err(Refusal::Trap(trap)),
    }
}
