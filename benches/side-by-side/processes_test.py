"""Which cores a candidate and its load get."""

import unittest

from processes import place


class Placement(unittest.TestCase):
    def test_cores_by_how_many_there_are(self):
        for usable, workers, candidate, load in [
            ([0, 1], 1, "0", "1"),
            ([2, 5, 7, 9], 1, "2", "5"),
            ([0, 1], 2, "0,1", "0,1"),
            ([0, 1, 2], 2, "0,1", "2"),
            ([0, 1, 2, 3, 4], 2, "0,1", "2,3"),
            ([0], 1, None, None),
            ([0], 2, None, None),
        ]:
            placed = place(usable, workers)
            self.assertEqual((placed.candidate, placed.load), (candidate, load), (usable, workers))

    def test_sharing_is_said(self):
        self.assertIn("share the cores 0,1", place([0, 1], 2).note)
        self.assertIn("nothing pinned", place([0], 1).note)
        self.assertEqual(place([0, 1], 1).note, "candidates pinned to core 0, origin and load generator to 1")


if __name__ == "__main__":
    unittest.main()
