"""The parts of a measurement that need nothing running."""

import unittest
from types import SimpleNamespace

import measure


class FixedRate(unittest.TestCase):
    def test_a_rate_that_was_not_held_is_named(self):
        for rate, answered, held in [(None, 10, True), (10_000, 9_900, True), (10_000, 9_700, False)]:
            note = measure.not_held(rate, SimpleNamespace(requests_per_second=answered))
            self.assertEqual(note is None, held, (rate, answered))
        self.assertIn("9,700 of 10,000 requests/s", note)


if __name__ == "__main__":
    unittest.main()
