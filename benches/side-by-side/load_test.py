"""What is taken for a good result of a load generator, and what is refused."""

import dataclasses
import json
import os
import tempfile
import unittest
from subprocess import CompletedProcess

import load
from h2load_test import HTTP2, named
from processes import BenchError


def wrk(status=0, **report):
    good = {"requests": 100, "bytes": 100 * 300, "duration_us": 2_000_000, "p50_us": 10, "p99_us": 20, "errors": {"connect": 0, "status": 0}}
    return CompletedProcess([], status, f"Running\n\nwrk-report {json.dumps({**good, **report})}\n", "")


class Wrk(unittest.TestCase):
    def test_a_good_run(self):
        self.assertEqual(load.wrk_result("nginx", wrk(), named("keepalive")), load.Load(100, 2.0, 10, 20))

    def test_failures_short_answers_and_silence_are_refused(self):
        for ended, why in [
            (wrk(errors={"connect": 0, "status": 1}), "failed: {'status': 1}"),
            (wrk(requests=0), "0 requests"),
            (wrk(bytes=100 * 127), "12700 bytes for 100 responses with bodies of 128 bytes"),
            (wrk(status=1), "failed with status 1"),
            (CompletedProcess([], 0, "nothing", ""), "wrk against nginx failed"),
        ]:
            with self.assertRaisesRegex(BenchError, why):
                load.wrk_result("nginx", ended, named("keepalive"))

    def test_only_new_connections_are_asked_to_close(self):
        for name, close in [("connections", True), ("tls-resumed", True), ("keepalive", False), ("tls", False)]:
            self.assertEqual("Connection: close" in load.wrk_argv(named(name), "", 1), close, name)


class H2load(unittest.TestCase):
    def result(self, output, scenario):
        with tempfile.TemporaryDirectory() as directory:
            log = os.path.join(directory, "log")
            with open(log, "w") as file:
                file.write("1\t200\t30\n2\t200\t10\n3\t200\t20\n")
            return load.h2load_result("nginx", CompletedProcess([], 0, output, ""), scenario, log)

    def test_a_good_run(self):
        scenario = dataclasses.replace(named("http2"), body_bytes=9)
        self.assertEqual(self.result(HTTP2, scenario), load.Load(77010, 2.0, 20, 30))

    def test_failures_short_answers_and_other_protocols_are_refused(self):
        scenario = dataclasses.replace(named("http2"), body_bytes=9)
        for output, expected, why in [
            (HTTP2.replace("0 errored", "1 errored"), scenario, "failed: 1"),
            (HTTP2, named("http2"), "bodies of 128 bytes"),
            (HTTP2.replace("protocol: h2", "protocol: http/1.1"), scenario, "http/1.1 instead of h2"),
            ("", scenario, "h2load against nginx failed"),
        ]:
            with self.assertRaisesRegex(BenchError, why):
                self.result(output, expected)


class Environment(unittest.TestCase):
    def test_addresses_name_the_scheme(self):
        self.assertEqual(load.address(named("tls"), 1), "https://127.0.0.1:1/")
        self.assertEqual(load.address(named("large"), 1), "http://127.0.0.1:1/")


if __name__ == "__main__":
    unittest.main()
