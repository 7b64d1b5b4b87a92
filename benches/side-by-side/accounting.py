"""What the kernel says a process tree used: processor time and resident memory, from /proc. Knows no candidate by name."""

import os
from dataclasses import dataclass

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# Positions after the command name in /proc/PID/stat, see proc(5): field 3 (state) is 0 here.
_PPID, _UTIME, _STIME, _CUTIME, _CSTIME, _RSS_PAGES = 1, 11, 12, 13, 14, 21


@dataclass(frozen=True)
class Cpu:
    """Processor time in seconds."""

    user: float
    system: float

    @property
    def total(self):
        return self.user + self.system

    def __sub__(self, earlier):
        return Cpu(self.user - earlier.user, self.system - earlier.system)


def cpu_of_tree(root_pid):
    """User and system time of a process, its descendants, and their children that have ended."""
    stats = _tree(root_pid)
    user = sum(stat[_UTIME] + stat[_CUTIME] for stat in stats)
    system = sum(stat[_STIME] + stat[_CSTIME] for stat in stats)
    return Cpu(user / TICKS_PER_SECOND, system / TICKS_PER_SECOND)


def rss_bytes_of_tree(root_pid):
    """Resident memory of a process and its descendants; pages that they share count once for each."""
    return sum(stat[_RSS_PAGES] for stat in _tree(root_pid)) * PAGE_BYTES


def cpu_of_ended_children():
    """Processor time of the children of this process that have ended (the load generator)."""
    times = os.times()
    return Cpu(times.children_user, times.children_system)


def cpu_of_this_process():
    times = os.times()
    return Cpu(times.user, times.system)


def busy_seconds_of_machine():
    """Time that the processors did anything, or that the hypervisor gave to others, since boot."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def connections_accepted():
    """TCP connections that anything in this network namespace has accepted since boot."""
    with open("/proc/net/snmp") as file:
        names, values = [line.split() for line in file if line.startswith("Tcp:")]
    return int(values[names.index("PassiveOpens")])


def _tree(root_pid):
    stats = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(entry)
            if stat is not None:
                stats[int(entry)] = stat
    tree, queue = [], [root_pid]
    while queue:
        pid = queue.pop()
        if pid in stats:
            tree.append(stats[pid])
            queue.extend(child for child, stat in stats.items() if stat[_PPID] == pid)
    return tree


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None  # It ended while we were looking.
    # The command name may hold spaces and parentheses; what follows the last one is numbers, but for the state.
    state, *numbers = text[text.rindex(")") + 2 :].split()
    return [state, *map(int, numbers)]
