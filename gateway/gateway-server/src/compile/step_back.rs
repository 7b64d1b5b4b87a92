//! A process that compiles leaves the processor to all others, whatever else they do.
//!
//! The lowest share of the processor, which it has from the start, is small, but there is always some of it, and few modules
//! need more. Whatever takes longer gets only what nobody else wants, so that traffic does not notice. Whose share it was is
//! not looked at again: the way back needs a privilege.
//!
//! A share alone is not enough. A processor that always has something to do, however unimportant, takes no work over from
//! others, and what is woken may wait for it for milliseconds. So the process rests for a moment, again and again: with 1,000
//! requests per second on two processors, their 99th percentile is 1.4 to 1.8 times as long beside one that never rests, and no
//! longer than alone beside one that does.

#![allow(
    unsafe_code,
    reason = "no library sets the scheduling policy of another process, or has a timer call what rests"
)]

use std::io;
use std::ptr;
use std::time::Duration;

use rustix::process::Pid;

/// Processor time that a process has before it steps back.
const SHARED_TIME: Duration = Duration::from_millis(200);
/// What a process computes between two rests.
const STRETCH: Duration = Duration::from_micros(300);

/// Has this process rest after each [`STRETCH`], from now on. It must have no other thread, and no use for `SIGALRM`.
pub(super) fn rest_often() -> io::Result<()> {
    let interval = libc::timeval { tv_sec: 0, tv_usec: STRETCH.subsec_micros().into() };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: an action of zeros is one without flags and with an empty mask, and becomes whole by the two lines after it. The
    // system reads `action` and `timer`, which outlive the calls, and writes nothing. What is called is a function of the
    // signature that goes without `SA_SIGINFO`, and does nothing that a signal may not.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = rest as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) == 0
            && libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) == 0
    };
    if set { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// For the shortest time that the system has, most often 50 microseconds.
extern "C" fn rest(_: libc::c_int) {
    let shortest = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    let none = ptr::null_mut();
    // SAFETY: `pselect` of no files is a pause; it may be called in a signal's function, by signal-safety(7), and reads
    // `shortest`, which outlives the call. The number of the last error is this thread's own, and left as it was.
    unsafe {
        let error = *libc::__errno_location();
        libc::pselect(0, none, none, none, &raw const shortest, ptr::null());
        *libc::__errno_location() = error;
    }
}

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
