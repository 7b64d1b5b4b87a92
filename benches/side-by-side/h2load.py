"""The load generator h2load: its arguments, and what its output and its log of requests say. Starts nothing."""

import re
from dataclasses import dataclass

from certificate import CIPHER, GROUP

# New connections are opened in so many steps per second.
STEPS_PER_SECOND = 100

_SPEED = re.compile(r"^finished in \S+, ([0-9.]+) req/s", re.M)
_COUNTS = re.compile(r"^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", re.M)
_STATUS = re.compile(r"^status codes: (\d+) 2xx", re.M)
_DATA = re.compile(r"^traffic: .*\((\d+)\) data$", re.M)
_FIELDS = {
    "protocol": re.compile(r"^Application protocol: (\S+)$", re.M),
    "tls": re.compile(r"^TLS Protocol: (\S+)$", re.M),
    "cipher": re.compile(r"^Cipher: (\S+)$", re.M),
    "group": re.compile(r"^Server Temp Key: (\S+)", re.M),
}


@dataclass(frozen=True)
class Summary:
    """What h2load printed at its end. The last four are None when it did not say."""

    requests: int
    requests_per_second: float
    failed: int
    data_bytes: int
    protocol: str
    tls: str
    cipher: str
    group: str


def argv(scenario, url, seconds, log_file, rate=None):
    """A run of `seconds`; at `rate` requests per second over all connections, or as fast as answers come."""
    if scenario.new_connections:
        count = rate * seconds
        load = [f"--clients={count}", f"--requests={count}", f"--rate={rate // STEPS_PER_SECOND}", f"--rate-period={1000 // STEPS_PER_SECOND}ms"]
    else:
        load = [f"--clients={scenario.connections}", f"--max-concurrent-streams={scenario.streams}", f"--duration={seconds}"]
        if rate:
            load.append(f"--rps={rate / scenario.connections:g}")
    return ["h2load", "--threads=1", f"--log-file={log_file}", *load, *_protocol(scenario), url]


def probe_argv(scenario, url):
    """A single request, with the protocols of the scenario."""
    return ["h2load", "--requests=1", *_protocol(scenario), url]


def summary(output):
    """What a finished run says; None when the output is not that of a finished run."""
    counts, ok, data, speed = (pattern.search(output) for pattern in (_COUNTS, _STATUS, _DATA, _SPEED))
    if not (counts and ok and data and speed):
        return None
    done, succeeded, failed, errored, timeout = map(int, counts.groups())
    # A response with another status than 2xx has succeeded for h2load if it is below 400.
    not_ok = done - min(succeeded, int(ok[1]))
    fields = {name: found[1] if (found := pattern.search(output)) else None for name, pattern in _FIELDS.items()}
    return Summary(done, float(speed[1]), max(failed, errored, timeout, not_ok), int(data[1]), **fields)


def wrong_protocol(scenario, said):
    """None if the connection was what the scenario is about; otherwise what it was."""
    expected = {
        "protocol": "h2" if scenario.http2 else "http/1.1",
        "tls": "TLSv1.3" if scenario.tls else None,
        "cipher": CIPHER if scenario.tls else None,
        "group": GROUP if scenario.tls else None,
    }
    wrong = [f"{name} {getattr(said, name)} instead of {value}" for name, value in expected.items() if getattr(said, name) != value]
    return "; ".join(wrong) or None


def percentiles(lines, *shares):
    """Times in µs below which these shares of the requests were answered, from h2load's log (start, status, duration)."""
    durations = sorted(int(line.split("\t")[2]) for line in lines)
    return [durations[min(len(durations) - 1, int(share * len(durations)))] for share in shares]


def _protocol(scenario):
    tls = [f"--tls13-ciphers={CIPHER}", f"--groups={GROUP}"] if scenario.tls else []
    return [*tls, *([] if scenario.http2 else ["--h1"])]
