"""The load generator (wrk) and the check that a candidate answers as it should before it is measured."""

import http.client
import json
import os
import subprocess
from dataclasses import dataclass

from processes import BenchError

CONNECTIONS = 32
# A response that takes longer counts as failed.
TIMEOUT_SECONDS = 5
CHECK_TIMEOUT_SECONDS = 2
REPORT_MARK = "wrk-report "
REPORT_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrk-report.lua")


@dataclass(frozen=True)
class Load:
    """What wrk saw during one round."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int


def run(name, port, seconds, core):
    """Keeps `CONNECTIONS` connections busy for `seconds`, one request at a time on each. Any failed request is an error."""
    pin = ["taskset", "--cpu-list", str(core)] if core is not None else []
    argv = [*pin, "wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s",
            "--timeout", f"{TIMEOUT_SECONDS}s", "--script", REPORT_SCRIPT, f"http://127.0.0.1:{port}/"]
    wrk = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30)
    if wrk.returncode != 0 or REPORT_MARK not in wrk.stdout:
        raise BenchError(f"wrk against {name} failed with status {wrk.returncode}:\n{wrk.stderr}{wrk.stdout}")
    report = json.loads(wrk.stdout.split(REPORT_MARK)[1])
    failed = {kind: count for kind, count in report["errors"].items() if count}
    if failed or report["requests"] == 0:
        raise BenchError(f"{name}: {report['requests']} requests, failed: {failed}; figures with failures mean nothing")
    return Load(report["requests"], report["duration_us"] / 1e6, report["p50_us"], report["p99_us"])


def wrong_answer(port, body, filtered):
    """None if GET / answers 200 with `body`, with `x-filter: on` exactly when filtered; otherwise what is wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CHECK_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        received = response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"GET / failed: {error!r}"
    finally:
        connection.close()
    if response.status != 200:
        return f"status {response.status} instead of 200: {received[:200]!r}"
    if received != body.encode():
        return f"body {received[:200]!r} instead of {body!r}"
    expected = "on" if filtered else None
    if response.getheader("x-filter") != expected:
        return f"response header x-filter is {response.getheader('x-filter')!r} instead of {expected!r}"
    return None
