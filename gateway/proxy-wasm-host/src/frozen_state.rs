//! The state of a started VM as bytes: its globals and the parts of its memory that are not zero. Read where the VM is, and
//! written into a module where that may take time. Knows nothing of modules but the names that the rewriting exports state by.
//!
//! ```text
//! number of globals: u32, each: name, kind: u8, value: 16 bytes
//! number of memories: u32, each: name, bytes: u64, number of pieces: u32, each: index: u32, its bytes
//! ```
//!
//! Numbers are little-endian, a name is its length (u32) and its bytes. Equal states have equal bytes.

use std::collections::BTreeMap;

use wasmtime::{Extern, Val};
use wasmtime_wizer::SnapshotVal;

use crate::limits::FROZEN_BYTES;
use crate::plugin::Started;

/// Names that begin so are the rewriting's: it refuses modules that have such exports themselves.
const STATE_EXPORT: &str = "__wizer_";
/// Memory is read in pieces of so many bytes; those that are zero are left out.
const PIECE_BYTES: usize = 4096;
/// One of them.
static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];

/// The state of a VM.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct FrozenState {
    globals: BTreeMap<String, Global>,
    memories: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Global {
    kind: u8,
    bits: u128,
}

/// Reads the state of a VM, as bytes. The reason is for the operator.
pub(crate) fn read(started: &mut Started) -> Result<Vec<u8>, String> {
    let instance = *started.instance();
    let store = started.store();
    let (mut globals, mut memories) = (BTreeMap::new(), BTreeMap::new());
    let exports: Vec<(String, Extern)> = instance
        .exports(&mut *store)
        .filter(|export| export.name().starts_with(STATE_EXPORT))
        .map(|export| (export.name().to_owned(), export.into_extern()))
        .collect();
    for (name, export) in exports {
        match export {
            Extern::Global(global) => {
                let value = global.get(&mut *store);
                let value = Global::of(&value).ok_or_else(|| format!("{name} is no number"))?;
                globals.insert(name, value);
            }
            Extern::Memory(memory) => _ = memories.insert(name, memory),
            _ => {}
        }
    }
    let mut bytes = Vec::new();
    count(&mut bytes, globals.len());
    for (name, Global { kind, bits }) in globals {
        text(&mut bytes, &name);
        bytes.push(kind);
        bytes.extend(bits.to_le_bytes());
    }
    count(&mut bytes, memories.len());
    for (name, memory) in memories {
        let data = memory.data(&*store);
        let pieces =
            || data.chunks(PIECE_BYTES).enumerate().filter(|(_, piece)| **piece != ZEROS[..piece.len()]);
        let used = pieces().count();
        if bytes.len() + used * PIECE_BYTES > FROZEN_BYTES {
            return Err(format!("it uses more than {FROZEN_BYTES} bytes of memory after its start"));
        }
        text(&mut bytes, &name);
        bytes.extend((data.len() as u64).to_le_bytes());
        count(&mut bytes, used);
        for (index, piece) in pieces() {
            count(&mut bytes, index);
            bytes.extend_from_slice(piece);
        }
    }
    Ok(bytes)
}

impl Global {
    fn of(value: &Val) -> Option<Self> {
        let (kind, bits) = match value {
            Val::I32(value) => (0, u128::from(value.cast_unsigned())),
            Val::I64(value) => (1, u128::from(value.cast_unsigned())),
            Val::F32(bits) => (2, u128::from(*bits)),
            Val::F64(bits) => (3, u128::from(*bits)),
            Val::V128(value) => (4, value.as_u128()),
            _ => return None,
        };
        Some(Self { kind, bits })
    }

    const fn value(self) -> Option<SnapshotVal> {
        let bits = self.bits;
        Some(match self.kind {
            0 => SnapshotVal::I32((bits as u32).cast_signed()),
            1 => SnapshotVal::I64((bits as u64).cast_signed()),
            2 => SnapshotVal::F32(bits as u32),
            3 => SnapshotVal::F64(bits as u64),
            4 => SnapshotVal::V128(bits),
            _ => return None,
        })
    }
}

impl FrozenState {
    /// `None` if these are not the bytes of a state.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut input = bytes;
        let mut state = Self::default();
        for _ in 0..take_count(&mut input)? {
            let name = take_text(&mut input)?;
            let (kind, rest) = input.split_first()?;
            let (bits, rest) = rest.split_first_chunk()?;
            input = rest;
            state.globals.insert(name, Global { kind: *kind, bits: u128::from_le_bytes(*bits) });
        }
        for _ in 0..take_count(&mut input)? {
            let name = take_text(&mut input)?;
            let (size, rest) = input.split_first_chunk()?;
            input = rest;
            // Zeros that nobody writes to take no memory.
            let mut memory = vec![0; usize::try_from(u64::from_le_bytes(*size)).ok()?];
            for _ in 0..take_count(&mut input)? {
                let begin = take_count(&mut input)? * PIECE_BYTES;
                let len = PIECE_BYTES.min(memory.len().checked_sub(begin)?);
                let (piece, rest) = input.split_at_checked(len)?;
                input = rest;
                memory[begin..begin + len].copy_from_slice(piece);
            }
            state.memories.insert(name, memory);
        }
        input.is_empty().then_some(state)
    }

    pub(crate) fn global(&self, name: &str) -> Option<SnapshotVal> {
        self.globals.get(name).and_then(|global| global.value())
    }

    pub(crate) fn memory(&self, name: &str) -> Option<&[u8]> {
        self.memories.get(name).map(Vec::as_slice)
    }
}

/// Both are indices of something that has an index of 32 bits in a module.
fn count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    count(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn take_count(input: &mut &[u8]) -> Option<usize> {
    let (number, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u32::from_le_bytes(*number) as usize)
}

fn take_text(input: &mut &[u8]) -> Option<String> {
    let len = take_count(input)?;
    let (text, rest) = input.split_at_checked(len)?;
    *input = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
#[path = "frozen_state_tests.rs"]
mod tests;
