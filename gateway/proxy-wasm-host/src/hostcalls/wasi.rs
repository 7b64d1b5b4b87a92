//! WASI preview 1 as far as language runtimes need it: output becomes log lines, there are clocks, randomness and the
//! configured environment. There are no files and no sockets, by construction.
//!
//! Answers error numbers of WASI, not statuses of the ABI; allowed in every phase, since runtimes call it while starting.
//! Also here: the two functions that old emscripten modules import.

use super::Offers;
use crate::abi::LogLevel;
use crate::failure::GuestExit;
use crate::limits::{RANDOM_BYTES, WRITE_BUFFERS};
use crate::memory::{Guest, Span, split, write};

/// Error numbers of WASI preview 1.
type Errno = u32;
const SUCCESS: Errno = 0;
const BAD_DESCRIPTOR: Errno = 8;
const EXISTS: Errno = 20;
const FAULT: Errno = 21;
const INVALID: Errno = 28;
const INPUT_OUTPUT: Errno = 29;
const NO_ENTRY: Errno = 44;
const NO_SYSTEM_CALL: Errno = 52;
const NOT_SUPPORTED: Errno = 58;

/// Offers functions that do nothing but answer: `stubs!(offers, NUMBER: "name"(types), ...)`.
macro_rules! stubs {
    ($offers:expr, $errno:expr => $($name:literal ($($ty:ty),*)),* $(,)?) => {
        $($offers.wasi($name, |mut guest: Guest<'_> $(, _: $ty)*| -> Errno {
            guest.data_mut().trace.note($name);
            $errno
        })?;)*
    };
}

pub(super) fn register(offers: &mut Offers) -> wasmtime::Result<()> {
    offers.wasi("fd_write", |mut guest: Guest<'_>, fd: u32, buffers: u32, count: u32, written_at: u32| {
        guest.data_mut().trace.note("fd_write");
        errno(fd_write(&mut guest, fd, buffers, count, written_at))
    })?;
    offers.wasi("fd_fdstat_get", |mut guest: Guest<'_>, fd: u32, stat_at: u32| {
        guest.data_mut().trace.note("fd_fdstat_get");
        errno(fd_fdstat_get(&mut guest, fd, stat_at))
    })?;
    offers.wasi("clock_time_get", |mut guest: Guest<'_>, clock: u32, _precision: u64, time_at: u32| {
        guest.data_mut().trace.note("clock_time_get");
        errno(clock_time_get(&mut guest, clock, time_at))
    })?;
    offers.wasi("clock_res_get", |mut guest: Guest<'_>, _clock: u32, resolution_at: u32| {
        guest.data_mut().trace.note("clock_res_get");
        errno(put(&mut guest, resolution_at, 1_u64.to_le_bytes()))
    })?;
    offers.wasi("random_get", |mut guest: Guest<'_>, at: u32, len: u32| {
        guest.data_mut().trace.note("random_get");
        errno(random_get(&mut guest, at, len))
    })?;
    offers.wasi("environ_sizes_get", |mut guest: Guest<'_>, count_at: u32, size_at: u32| {
        guest.data_mut().trace.note("environ_sizes_get");
        errno(environ_sizes_get(&mut guest, count_at, size_at))
    })?;
    offers.wasi("environ_get", |mut guest: Guest<'_>, pointers_at: u32, text_at: u32| {
        guest.data_mut().trace.note("environ_get");
        errno(environ_get(&mut guest, pointers_at, text_at))
    })?;
    offers.wasi("args_sizes_get", |mut guest: Guest<'_>, count_at: u32, size_at: u32| {
        guest.data_mut().trace.note("args_sizes_get");
        let zero = 0_u32.to_le_bytes();
        errno(put(&mut guest, count_at, zero).and_then(|()| put(&mut guest, size_at, zero)))
    })?;
    offers.wasi(
        "poll_oneoff",
        |mut guest: Guest<'_>, _in: u32, _out: u32, _count: u32, events_at: u32| {
            guest.data_mut().trace.note("poll_oneoff");
            // Nothing to wait for: a filter must not sleep.
            errno(put(&mut guest, events_at, 0_u32.to_le_bytes()))
        },
    )?;
    offers.wasi("proc_exit", |mut guest: Guest<'_>, code: u32| -> wasmtime::Result<()> {
        guest.data_mut().trace.note("proc_exit");
        Err(GuestExit { code }.into())
    })?;
    register_stubs(offers)?;
    offers.env("pthread_equal", |_: Guest<'_>, left: u32, right: u32| u32::from(left == right))?;
    offers.env("emscripten_notify_memory_growth", |_: Guest<'_>, _memory: u32| {})?;
    Ok(())
}

fn register_stubs(offers: &mut Offers) -> wasmtime::Result<()> {
    stubs!(offers, SUCCESS => "args_get"(u32, u32), "sched_yield"(), "fd_close"(u32), "fd_seek"(u32, i64, u32, u32));
    // Success would make C libraries look for preopened directories for ever.
    stubs!(offers, BAD_DESCRIPTOR => "fd_prestat_get"(u32, u32), "fd_filestat_get"(u32, u32));
    stubs!(offers, EXISTS => "fd_readdir"(u32, u32, u32, u64, u32));
    stubs!(offers, NO_ENTRY => "path_open"(u32, u32, u32, u32, u32, u64, u64, u32, u32));
    stubs!(offers, NO_SYSTEM_CALL =>
        "fd_prestat_dir_name"(u32, u32, u32),
        "fd_read"(u32, u32, u32, u32),
        "fd_pread"(u32, u32, u32, u64, u32),
    );
    stubs!(offers, NOT_SUPPORTED =>
        "fd_advise"(u32, u64, u64, u32),
        "fd_allocate"(u32, u64, u64),
        "fd_datasync"(u32),
        "fd_fdstat_set_flags"(u32, u32),
        "fd_fdstat_set_rights"(u32, u64, u64),
        "fd_filestat_set_size"(u32, u64),
        "fd_filestat_set_times"(u32, u64, u64, u32),
        "fd_pwrite"(u32, u32, u32, u64, u32),
        "fd_renumber"(u32, u32),
        "fd_sync"(u32),
        "fd_tell"(u32, u32),
        "path_create_directory"(u32, u32, u32),
        "path_filestat_get"(u32, u32, u32, u32, u32),
        "path_filestat_set_times"(u32, u32, u32, u32, u64, u64, u32),
        "path_link"(u32, u32, u32, u32, u32, u32, u32),
        "path_readlink"(u32, u32, u32, u32, u32, u32),
        "path_remove_directory"(u32, u32, u32),
        "path_rename"(u32, u32, u32, u32, u32, u32),
        "path_symlink"(u32, u32, u32, u32, u32),
        "path_unlink_file"(u32, u32, u32),
        "proc_raise"(u32),
        "sock_accept"(u32, u32, u32),
        "sock_recv"(u32, u32, u32, u32, u32, u32),
        "sock_send"(u32, u32, u32, u32, u32),
        "sock_shutdown"(u32, u32),
    );
    Ok(())
}

fn errno(result: Result<(), Errno>) -> Errno {
    result.err().unwrap_or(SUCCESS)
}

fn put<const N: usize>(guest: &mut Guest<'_>, at: u32, bytes: [u8; N]) -> Result<(), Errno> {
    let (memory, _) = split(guest).map_err(|_| FAULT)?;
    write(memory, at, bytes).map_err(|_| FAULT)
}

/// Standard output is level info, standard error is level error: one line per call, without its newline.
fn fd_write(guest: &mut Guest<'_>, fd: u32, buffers: u32, count: u32, written_at: u32) -> Result<(), Errno> {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Err(BAD_DESCRIPTOR),
    };
    let (memory, state) = split(guest).map_err(|_| FAULT)?;
    if count > WRITE_BUFFERS {
        return Err(INVALID);
    }
    let mut line = Vec::new();
    let mut written = 0_u32;
    let (entries, _) = Span::new(buffers, count * 8).read(memory).map_err(|_| FAULT)?.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in entries {
        let (at, len) = (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]));
        let bytes = Span::new(at, len).read(memory).map_err(|_| FAULT)?;
        written = written.checked_add(len).ok_or(INVALID)?;
        let room = state.limits().log_line_bytes.saturating_sub(line.len());
        line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    if !line.is_empty() {
        state.log(level, line.strip_suffix(b"\n").unwrap_or(&line));
    }
    write(memory, written_at, written.to_le_bytes()).map_err(|_| FAULT)
}

/// Standard output and error can be written; nothing else is open.
fn fd_fdstat_get(guest: &mut Guest<'_>, fd: u32, stat_at: u32) -> Result<(), Errno> {
    const RIGHT_TO_WRITE: u8 = 64;
    if fd != 1 && fd != 2 {
        return Err(BAD_DESCRIPTOR);
    }
    let mut stat = [0; 24];
    stat[8] = RIGHT_TO_WRITE;
    put(guest, stat_at, stat)
}

fn clock_time_get(guest: &mut Guest<'_>, clock: u32, time_at: u32) -> Result<(), Errno> {
    let services = &guest.data().plugin.services;
    let now_ns = match clock {
        0 => services.realtime_ns(),
        1 => services.monotonic_ns(),
        _ => return Err(NOT_SUPPORTED),
    };
    put(guest, time_at, now_ns.to_le_bytes())
}

fn random_get(guest: &mut Guest<'_>, at: u32, len: u32) -> Result<(), Errno> {
    if len > RANDOM_BYTES {
        return Err(INVALID);
    }
    let (memory, state) = split(guest).map_err(|_| FAULT)?;
    let bytes = Span::new(at, len).read_mut(memory).map_err(|_| FAULT)?;
    state.drawn.bytes += u64::from(len);
    if state.plugin.services.fill_random(bytes) { Ok(()) } else { Err(INPUT_OUTPUT) }
}

fn environ_sizes_get(guest: &mut Guest<'_>, count_at: u32, size_at: u32) -> Result<(), Errno> {
    let env = &guest.data().plugin.config.env;
    let count = u32::try_from(env.len()).map_err(|_| INVALID)?;
    let size = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    let size = u32::try_from(size).map_err(|_| INVALID)?;
    put(guest, count_at, count.to_le_bytes())?;
    put(guest, size_at, size.to_le_bytes())
}

/// Writes `NAME=value` and a NUL for each variable, and a pointer to each.
fn environ_get(guest: &mut Guest<'_>, pointers_at: u32, text_at: u32) -> Result<(), Errno> {
    let (memory, state) = split(guest).map_err(|_| FAULT)?;
    let (mut pointer_at, mut at) = (pointers_at, text_at);
    for (name, value) in &state.plugin.config.env {
        let entry = [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat();
        let len = u32::try_from(entry.len()).map_err(|_| FAULT)?;
        Span::new(at, len).read_mut(memory).map_err(|_| FAULT)?.copy_from_slice(&entry);
        write(memory, pointer_at, at.to_le_bytes()).map_err(|_| FAULT)?;
        pointer_at = pointer_at.checked_add(4).ok_or(FAULT)?;
        at = at.checked_add(len).ok_or(FAULT)?;
    }
    Ok(())
}
