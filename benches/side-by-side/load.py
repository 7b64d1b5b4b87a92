"""Makes the load of a scenario with wrk or h2load, and says what came of it. Any failed request is an error."""

import json
import os
import subprocess
from dataclasses import dataclass
from typing import Any

import h2load
from processes import BenchError

# A response that takes longer counts as failed.
TIMEOUT_SECONDS = 5
# How much longer than asked for a generator may run before it is given up.
OVERTIME_SECONDS = 30
REPORT_MARK = "wrk-report "
REPORT_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrk-report.lua")


@dataclass(frozen=True)
class Load:
    """What the generator saw during one round."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int


@dataclass(frozen=True)
class Generator:
    """How load is made in this run: on which cores (a list for taskset, or None) and, for TLS, by what certificate."""

    scenario: Any
    cores: str
    directory: str
    certificate: Any

    def start_and_wait(self, port, seconds, rate=None):
        """Loads the candidate on `port`. What came of it is for `result`, so that reading it is not timed."""
        url = address(self.scenario, port)
        if self.scenario.generator == "wrk":
            argv = wrk_argv(self.scenario, url, seconds)
        else:
            argv = h2load.argv(self.scenario, url, seconds, self._log(), rate)
            if os.path.exists(self._log()):
                os.unlink(self._log())  # h2load appends.
        pin = ["taskset", "--cpu-list", self.cores] if self.cores is not None else []
        try:
            return subprocess.run([*pin, *argv], capture_output=True, text=True, timeout=seconds + OVERTIME_SECONDS,
                                  env=environment(self.certificate))
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{self.scenario.generator} did not end {OVERTIME_SECONDS} s after it should have") from error

    def result(self, name, ended):
        """The figures of a run against the candidate `name`."""
        if self.scenario.generator == "wrk":
            return wrk_result(name, ended, self.scenario)
        return h2load_result(name, ended, self.scenario, self._log())

    def _log(self):
        return os.path.join(self.directory, "h2load.log")


def address(scenario, port):
    return f"{'https' if scenario.tls else 'http'}://127.0.0.1:{port}/"


def environment(certificate):
    """For clients that use OpenSSL: with this they all offer the same."""
    return {**os.environ, "OPENSSL_CONF": certificate.client_config} if certificate else None


def wrk_argv(scenario, url, seconds):
    close = ["--header", "Connection: close"] if scenario.new_connections else []
    return ["wrk", "--threads", "1", "--connections", str(scenario.connections), "--duration", f"{seconds}s",
            "--timeout", f"{TIMEOUT_SECONDS}s", "--script", REPORT_SCRIPT, *close, url]


def wrk_result(name, ended, scenario):
    if ended.returncode != 0 or REPORT_MARK not in ended.stdout:
        raise _broken("wrk", name, ended)
    report = json.loads(ended.stdout.split(REPORT_MARK)[1])
    failed = {kind: count for kind, count in report["errors"].items() if count}
    _require(name, report["requests"], failed, report["bytes"], scenario)
    return Load(report["requests"], report["duration_us"] / 1e6, report["p50_us"], report["p99_us"])


def h2load_result(name, ended, scenario, log):
    said = h2load.summary(ended.stdout)
    if ended.returncode != 0 or said is None:
        raise _broken("h2load", name, ended)
    _require(name, said.requests, said.failed, said.data_bytes, scenario)
    wrong = h2load.wrong_protocol(scenario, said)
    if wrong:
        raise BenchError(f"{name}: {wrong}")
    with open(log) as lines:
        p50, p99 = h2load.percentiles(lines, 0.5, 0.99)
    return Load(said.requests, said.requests / said.requests_per_second, p50, p99)


def _require(name, requests, failed, received_bytes, scenario):
    if failed or requests == 0:
        raise BenchError(f"{name}: {requests} requests, failed: {failed}; figures with failures mean nothing")
    if received_bytes < requests * scenario.body_bytes:
        raise BenchError(f"{name}: {received_bytes} bytes for {requests} responses with bodies of {scenario.body_bytes} bytes")


def _broken(generator, name, ended):
    return BenchError(f"{generator} against {name} failed with status {ended.returncode}:\n{ended.stderr}{ended.stdout}")
