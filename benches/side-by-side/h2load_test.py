"""h2load's arguments, and its output as version 1.52 prints it."""

import dataclasses
import unittest

import h2load
import scenarios

HTTP2 = """Main benchmark duration is started for thread #0.
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Server Temp Key: X25519 253 bits
Application protocol: h2
Stopped all clients for thread #0

finished in 2.01s, 38505.00 req/s, 5.51MB/s
requests: 77010 total, 77410 started, 77010 done, 77010 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 77010 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 5.51MB (5775946) total, 3.53MB (3696480) headers (space savings 51.02%), 676.85KB (693090) data
                     min         max         mean         sd        +/- sd
time for request:      157us     15.80ms      4.17ms      2.09ms    77.82%
"""


def named(name):
    (scenario,) = scenarios.select([name], False)
    return scenario


class Output(unittest.TestCase):
    def test_a_good_run(self):
        said = h2load.summary(HTTP2)
        self.assertEqual((said.requests, said.requests_per_second, said.failed, said.data_bytes), (77010, 38505.0, 0, 693090))
        self.assertIsNone(h2load.wrong_protocol(named("http2"), said))

    def test_every_kind_of_failure_counts(self):
        for old, new in [
            ("77010 2xx, 0 3xx", "77008 2xx, 2 3xx"),
            ("77010 succeeded, 0 failed", "77008 succeeded, 2 failed"),
            ("0 errored", "2 errored"),
            ("0 timeout", "2 timeout"),
        ]:
            self.assertIn(old, HTTP2)
            self.assertEqual(h2load.summary(HTTP2.replace(old, new)).failed, 2, new)

    def test_output_that_breaks_off_is_no_result(self):
        self.assertIsNone(h2load.summary(HTTP2.split("status codes")[0]))
        self.assertIsNone(h2load.summary(""))

    def test_another_protocol_than_asked_for_is_named(self):
        scenario = named("http2")
        for old, new, wrong in [
            ("protocol: h2", "protocol: http/1.1", "protocol http/1.1 instead of h2"),
            ("TLSv1.3", "TLSv1.2", "tls TLSv1.2 instead of TLSv1.3"),
            ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "cipher TLS_AES_256_GCM_SHA384 instead of TLS_AES_128_GCM_SHA256"),
            ("X25519", "P-256", "group P-256 instead of X25519"),
        ]:
            self.assertEqual(h2load.wrong_protocol(scenario, h2load.summary(HTTP2.replace(old, new))), wrong)

    def test_cleartext_must_be_cleartext(self):
        plain = "".join(line for line in HTTP2.splitlines(True) if not line.startswith(("TLS", "Cipher", "Server"))).replace(": h2", ": http/1.1")
        self.assertIsNone(h2load.wrong_protocol(named("fixed-rate"), h2load.summary(plain)))
        self.assertIn("tls TLSv1.3 instead of None", h2load.wrong_protocol(named("fixed-rate"), h2load.summary(HTTP2)))

    def test_percentiles_are_of_the_durations(self):
        lines = [f"17952428569746{n:02}\t200\t{duration}\n" for n, duration in enumerate(range(100, 0, -1))]
        self.assertEqual(h2load.percentiles(lines, 0.0, 0.5, 0.99, 1.0), [1, 51, 100, 100])


class Arguments(unittest.TestCase):
    def test_http2_has_its_streams_and_the_common_offer(self):
        argv = h2load.argv(named("http2"), "https://127.0.0.1:1/", 2, "log")
        for argument in ("--clients=4", "--max-concurrent-streams=100", "--duration=2", "--tls13-ciphers=TLS_AES_128_GCM_SHA256", "--groups=X25519"):
            self.assertIn(argument, argv)
        self.assertNotIn("--h1", argv)

    def test_a_fixed_rate_is_spread_over_the_connections(self):
        argv = h2load.argv(named("fixed-rate"), "http://127.0.0.1:1/", 2, "log", 16000)
        self.assertIn("--rps=500", argv)
        self.assertIn("--h1", argv)

    def test_new_connections_have_one_request_each(self):
        argv = h2load.argv(named("tls-handshakes"), "https://127.0.0.1:1/", 3, "log", 500)
        for argument in ("--clients=1500", "--requests=1500", "--rate=5", "--rate-period=10ms", "--h1"):
            self.assertIn(argument, argv)

    def test_a_closed_loop_has_no_rate(self):
        closed = dataclasses.replace(named("fixed-rate"), fixed_rate=False)
        self.assertFalse([argument for argument in h2load.argv(closed, "http://127.0.0.1:1/", 2, "log") if "--r" in argument])


if __name__ == "__main__":
    unittest.main()
