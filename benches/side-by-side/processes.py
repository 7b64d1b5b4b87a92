"""Starts, pins and stops the programs of a run.

Everything is stopped by the id under which it was started, also after an error or Ctrl-C; a program that outlives the
bench by accident gets SIGTERM from the kernel. Knows nothing of what the programs do.
"""

import os
import resource
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

# How long a program may take to end after SIGTERM before it is killed.
STOP_SECONDS = 5
# Listening ports come from here upwards: below the kernel's ephemeral range, so no outgoing connection can take one.
FIRST_PORT = 18100
LAST_PORT = 18999
# Each candidate keeps up to 400 connections to the origin, beside those of its clients.
OPEN_FILES = 16384
# How much of a failed program's output is shown.
OUTPUT_TAIL_BYTES = 2000


class BenchError(Exception):
    """Something the operator must mend before figures mean anything. The text says what."""


def free_ports():
    """Yields loopback ports that nothing listens on, each once."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
    raise BenchError(f"no free port on 127.0.0.1 between {FIRST_PORT} and {LAST_PORT}: stop what listens there")


@dataclass(frozen=True)
class Cores:
    """Who runs where; lists for taskset, or None for anywhere."""

    candidate: str
    load: str
    note: str


def place(usable, workers):
    """A candidate gets a core for each worker, origin and load as many others as there are, up to the same number."""
    own, others = usable[:workers], usable[workers : 2 * workers]
    if others:
        candidate, load = (",".join(map(str, cores)) for cores in (own, others))
        return Cores(candidate, load, f"candidates pinned to core{'s' * (len(own) > 1)} {candidate}, origin and load generator to {load}")
    if len(own) > 1:
        shared = ",".join(map(str, own))
        return Cores(shared, shared, f"candidates, origin and load generator share the cores {shared}")
    return Cores(None, None, "nothing pinned: only one core is usable, so candidates share it with origin and load generator")


def raise_open_files():
    """Lets this process and what it starts hold as many connections as the scenarios need, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def interrupt_on_sigterm():
    """Makes SIGTERM unwind like Ctrl-C, so that `with Processes()` stops everything."""

    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


class Processes:
    """The programs of one run; leaving the `with` block stops them, last started first."""

    def __init__(self):
        self._started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        while self._started:
            stop(self._started.pop())

    def start(self, argv, directory, cores=None):
        """Starts `argv` in `directory` on `cores` (a list for taskset); its output goes to `directory/output.log`."""
        pin = ["taskset", "--cpu-list", cores] if cores is not None else []
        with open(os.path.join(directory, "output.log"), "wb") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *pin, *argv],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.directory = directory
        self._started.append(process)
        return process


def stop(process):
    """Ends the program and whatever is left of its process group."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wait_until(process, what, probe, seconds=30):
    """Calls `probe` until it returns None; its text says what is still wrong. Ends at once if the program dies."""
    deadline = time.monotonic() + seconds
    while True:
        wrong = probe()
        if wrong is None:
            return
        if process.poll() is not None:
            raise BenchError(f"{what} ended with status {process.returncode}:\n{_output_tail(process)}")
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: after {seconds} s still: {wrong}\n{_output_tail(process)}")
        time.sleep(0.05)


def _output_tail(process):
    text = ""
    for name in ("output.log", "error.log"):
        path = os.path.join(process.directory, name)
        if os.path.exists(path):
            with open(path, "rb") as file:
                text += file.read()[-OUTPUT_TAIL_BYTES:].decode(errors="replace")
    return text.strip() or "(it printed nothing)"
