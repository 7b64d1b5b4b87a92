"""The configurations: every scenario fills every template, and TLS is there exactly when it should be."""

import os
import re
import tempfile
import unittest
from types import SimpleNamespace

import candidates
import scenarios
from certificate import Certificate
from processes import place


class Recorder:
    """Stands in for `Processes`: keeps what would be started."""

    def start(self, argv, directory, cores=None):
        return SimpleNamespace(argv=argv, directory=directory, cores=cores)


class Configurations(unittest.TestCase):
    def configured(self, scenario, key):
        """(text of the candidate's configuration, its arguments)."""
        with tempfile.TemporaryDirectory() as directory:
            programs = {name: name for name in ("nginx", "haproxy", "envoy", "gateway")}
            ports = iter(range(18100, 18200))
            made = Certificate("/made/cert.pem", "/made/key.pem", "/made/both.pem", "") if scenario.tls else None
            wasm = os.path.join(directory, "filter.wasm")
            open(wasm, "w").close()
            site = candidates.Site(directory, place([0, 1], scenario.workers), ports, programs, wasm, made)
            started = candidates.start(key, site, Recorder(), scenario).process
            config = next(argument for argument in started.argv if argument.startswith(directory) and "." in os.path.basename(argument) and os.path.isfile(argument))
            with open(config) as file:
                return file.read(), started.argv

    def each(self):
        for scenario in scenarios.SCENARIOS:
            for key in scenario.keys:
                if key != "haproxy":  # Its log receiver would listen.
                    with self.subTest(scenario=scenario.name, candidate=key):
                        yield scenario, key, *self.configured(scenario, key)

    def test_every_place_is_filled(self):
        for _, _, text, _ in self.each():
            self.assertIsNone(re.search(r"\{\{[a-z_]+\}\}", text), text)

    def test_tls_is_where_the_scenario_has_it(self):
        for scenario, _, text, _ in self.each():
            self.assertEqual(text.count("/made/key.pem"), 1 if scenario.tls else 0)

    def test_workers_are_those_of_the_scenario(self):
        words = {"nginx": "worker_processes {};", "gateway": "workers: {}\n"}
        for scenario, key, text, argv in self.each():
            program = key.split("-")[0]
            if program == "envoy":
                self.assertEqual(argv[argv.index("--concurrency") + 1], str(scenario.workers))
            else:
                self.assertIn(words[program].format(scenario.workers), text)

    def test_envoy_can_be_configured_without_a_scenario(self):
        text = candidates.envoy_config({"port": 1, "origin_port": 2, "access_log": "log"}, "filter.wasm", "{}")
        self.assertIsNone(re.search(r"\{\{[a-z_]+\}\}", text), text)
        self.assertNotIn("transport_socket", text)


class Origin(unittest.TestCase):
    def test_small_answers_are_in_the_configuration_and_large_ones_in_a_file(self):
        for scenario in scenarios.SCENARIOS:
            with tempfile.TemporaryDirectory() as directory:
                site = candidates.Site(directory, place([0, 1], 1), iter([18100]), {"nginx": "nginx"}, None, None)
                candidates.start_origin(site, Recorder(), scenario.body)
                with open(os.path.join(directory, "origin", "nginx.conf")) as file:
                    text = file.read()
                answer = os.path.join(directory, "origin", "answer")
                if os.path.exists(answer):
                    self.assertEqual(os.path.getsize(answer), scenario.body_bytes)
                else:
                    self.assertIn('return 200 "' + scenario.body.replace("\n", "\\n") + '";', text)


if __name__ == "__main__":
    unittest.main()
