"""The scenarios: which load each one makes, over which listener, and for which candidates. Pure."""

from dataclasses import dataclass

import candidates
from processes import BenchError

# 128 bytes; larger bodies repeat them, so that every size here must be a multiple.
LINE = "The origin answers every request with these same one hundred and twenty-eight bytes, so that the proxy is all that is measured.\n"


@dataclass(frozen=True)
class Scenario:
    """One kind of load. What differs between two scenarios is here, and nowhere else."""

    name: str
    title: str
    generator: str = "wrk"
    tls: bool = False
    http2: bool = False
    connections: int = 32
    streams: int = 1  # at a time on each connection
    workers: int = 1
    body_bytes: int = len(LINE)
    new_connections: bool = False  # each request on a connection of its own
    resumed: bool = False  # of TLS: all handshakes but the first resume a session, instead of none
    fixed_rate: bool = False  # so many requests per second, however fast they are answered
    rate: int = None  # where it is fixed: how many; None: a share of what nginx can do
    judged: bool = False  # also with the filter, and held against the bounds

    @property
    def body(self):
        return LINE * (self.body_bytes // len(LINE))

    @property
    def keys(self):
        """The candidates' keys, in the order in which they are measured."""
        return [key for key in candidates.KEYS if self.judged or not key.endswith("-wasm")]

    def describe(self, rate=None):
        """What the load is, in words."""
        if self.new_connections:
            load = "a new connection for each request" + ("" if self.fixed_rate else f", {self.connections} at a time")
            if self.tls:
                load += ", sessions resumed" if self.resumed else ", full handshakes"
        elif self.streams > 1:
            load = f"{self.connections} connections x {self.streams} streams"
        else:
            load = f"{self.connections} kept connections"
        protocol = ("HTTP/2" if self.http2 else "HTTP/1.1") + (" over TLS" if self.tls else "")
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        paced = f", {rate:,} requests/s" if rate else ""
        return f"{protocol}, {load}{paced}, body of {self.body_bytes:,} bytes, {workers}, load by {self.generator}"


SCENARIOS = [
    Scenario("keepalive", "Kept connections", judged=True),
    Scenario("fixed-rate", "Kept connections, fixed rate", generator="h2load", fixed_rate=True),
    Scenario("connections", "New connections", new_connections=True),
    Scenario("tls", "TLS, kept connections", tls=True),
    Scenario("tls-resumed", "TLS, new connections, resumed sessions", tls=True, new_connections=True, resumed=True),
    # wrk cannot do without resumption; h2load cannot open connections one after another, but at a rate.
    Scenario("tls-handshakes", "TLS, new connections, full handshakes", generator="h2load", tls=True, new_connections=True, fixed_rate=True, rate=500),
    Scenario("http2", "HTTP/2 over TLS", generator="h2load", tls=True, http2=True, connections=4, streams=100),
    Scenario("large", "Bodies of 64 KiB", body_bytes=64 * 1024),
    Scenario("two-workers", "Two workers", workers=2),
]
DEFAULT = SCENARIOS[0]


def select(names, everything):
    """The chosen scenarios in their usual order, each once; the default one when nothing is chosen."""
    known = [scenario.name for scenario in SCENARIOS]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BenchError(f"--scenario: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    if everything:
        return SCENARIOS
    return [scenario for scenario in SCENARIOS if scenario.name in names] or [DEFAULT]
