//! What a process that compiles may do: compute, for a bounded time, in bounded memory, and answer.
//!
//! First the limits, which concern the whole process; then, once all is open that is needed, the list of system calls. What
//! is not on the list ends the process.

use std::collections::BTreeMap;
use std::io;

use rustix::process::{Resource, Rlimit, Signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Lowest share of the processor that there is: traffic goes first.
const NICENESS: i32 = 19;

/// Leaves the processor to traffic, as far as there is any, also in what this process starts.
pub(super) fn lower_priority() -> io::Result<()> {
    Ok(rustix::process::nice(NICENESS).map(drop)?)
}

/// Sets what the kernel enforces without looking at single calls.
pub(super) fn limit(cpu_seconds: u64, memory_bytes: u64) -> io::Result<()> {
    // Whatever happens to the helper, nothing of it goes on.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    lower_priority()?;
    set(Resource::Cpu, cpu_seconds, cpu_seconds + 1)?;
    set(Resource::As, memory_bytes, memory_bytes)?;
    set(Resource::Core, 0, 0)?;
    // Files that are open stay so; there are no more.
    set(Resource::Nofile, 0, 0)?;
    set(Resource::Fsize, 0, 0)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

fn set(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    // No limit may be above that of whoever started the gateway.
    let inherited = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(current.min(inherited)), maximum: Some(maximum.min(inherited)) };
    Ok(rustix::process::setrlimit(resource, limit)?)
}

/// From here on: memory, standard input, standard output and error, rests, and the end.
pub(super) fn lock_down() -> Result<(), String> {
    let program = allowed().map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

fn allowed() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    let file = |number| rule(0, SeccompCmpOp::Eq, number);
    rules.insert(libc::SYS_read, vec![file(0)?]);
    rules.insert(libc::SYS_write, vec![file(1)?, file(2)?]);
    rules.insert(libc::SYS_writev, vec![file(1)?, file(2)?]);
    // Machine code is written, never run here.
    let not_executable = || rule(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0);
    rules.insert(libc::SYS_mmap, vec![not_executable()?]);
    rules.insert(libc::SYS_mprotect, vec![not_executable()?]);
    // The allocator gives its regions a name, and asks about huge pages.
    let option = |option: i32| rule(0, SeccompCmpOp::Eq, option as u64);
    rules.insert(libc::SYS_prctl, vec![option(libc::PR_SET_VMA)?, option(libc::PR_GET_THP_DISABLE)?]);
    let (otherwise, listed) = (SeccompAction::KillProcess, SeccompAction::Allow);
    SeccompFilter::new(rules, otherwise, listed, std::env::consts::ARCH.try_into()?)?.try_into()
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?])
}

/// What allocators, the standard library and the end of a process need.
const ALWAYS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_getcpu,
    libc::SYS_close,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // It rests.
    libc::SYS_pselect6,
    // How an abort ends itself.
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
