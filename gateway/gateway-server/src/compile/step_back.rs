//! A process that compiles for long leaves the processor to all others, whatever else they do.
//!
//! The lowest share of the processor, which it has from the start, is small, but there is always some of it, and few modules
//! need more. Whatever takes longer gets only what nobody else wants, so that traffic does not notice. Whose share it was is
//! not looked at again: the way back needs a privilege.

#![allow(unsafe_code, reason = "no library sets the scheduling policy of another process; one call does")]

use std::io;
use std::time::Duration;

use rustix::process::Pid;

/// Processor time that a process has before it steps back.
const SHARED_TIME: Duration = Duration::from_millis(200);

/// Has a process step back that was not waited for, if it is due. Whether there is nothing more to do.
pub(super) fn step_back_if_due(pid: Pid) -> bool {
    match used(pid) {
        Some(used) if used < SHARED_TIME => false,
        Some(_) => {
            // A system that has no such policy leaves it the lowest share.
            let _ = step_back(pid);
            true
        }
        None => true,
    }
}

/// `SCHED_IDLE` of sched(7).
fn step_back(pid: Pid) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the system reads `parameters`, which outlives the call, and writes nothing.
    match unsafe {
        libc::sched_setscheduler(pid.as_raw_nonzero().get(), libc::SCHED_IDLE, &raw const parameters)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Processor time of a process, by proc_pid_stat(5); none if it is gone.
fn used(pid: Pid) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // From the third field on: what is before it may contain anything.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    let (user, system): (u64, u64) = (fields.nth(11)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_secs(user + system) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?)
}
