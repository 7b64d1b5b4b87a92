"""The choice of scenarios, and what each one says it is."""

import unittest

import scenarios
from processes import BenchError


class Choice(unittest.TestCase):
    def test_the_default_is_the_judged_one_with_every_candidate(self):
        (chosen,) = scenarios.select([], False)
        self.assertEqual((chosen.name, chosen.judged, len(chosen.keys)), ("keepalive", True, 6))

    def test_names_are_taken_once_and_in_their_usual_order(self):
        self.assertEqual([one.name for one in scenarios.select(["http2", "tls", "http2"], False)], ["tls", "http2"])

    def test_all_means_all(self):
        names = [one.name for one in scenarios.select([], True)]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(names, [one.name for one in scenarios.SCENARIOS])

    def test_an_unknown_name_is_refused_with_the_known_ones(self):
        with self.assertRaisesRegex(BenchError, "no http3; there are keepalive, "):
            scenarios.select(["tls", "http3"], False)


class Meaning(unittest.TestCase):
    def test_filters_run_only_where_they_are_judged(self):
        for scenario in scenarios.SCENARIOS:
            self.assertEqual(any(key.endswith("-wasm") for key in scenario.keys), scenario.judged, scenario.name)

    def test_bodies_have_the_size_that_is_said(self):
        for scenario in scenarios.SCENARIOS:
            self.assertEqual(len(scenario.body.encode()), scenario.body_bytes, scenario.name)

    def test_descriptions_say_what_the_load_is(self):
        said = {scenario.name: scenario.describe(scenario.rate) for scenario in scenarios.SCENARIOS}
        self.assertEqual(said["http2"], "HTTP/2 over TLS, 4 connections x 100 streams, body of 128 bytes, 1 worker, load by h2load")
        self.assertEqual(said["two-workers"], "HTTP/1.1, 32 kept connections, body of 128 bytes, 2 workers, load by wrk")
        self.assertIn("full handshakes, 500 requests/s", said["tls-handshakes"])
        self.assertIn("32 at a time, sessions resumed", said["tls-resumed"])
        self.assertIn("body of 65,536 bytes", said["large"])


if __name__ == "__main__":
    unittest.main()
