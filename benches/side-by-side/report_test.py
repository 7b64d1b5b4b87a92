"""python3 -B -m unittest discover -s benches/side-by-side -p '*_test.py'"""

import os
import tempfile
import unittest

import report

TITLES = {"nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy", "gateway": "gateway", "gateway-wasm": "gateway + filter", "envoy-wasm": "Envoy + filter"}


def sample(cpu_us, foreign_share=0.0):
    return report.Sample(1000.0, 10, 20, cpu_us / 4, cpu_us * 3 / 4, 5.0, 0.99, foreign_share)


def samples(**cpu_us):
    return {key.replace("_", "-"): [sample(value) for value in values] for key, values in cpu_us.items()}


class Verdicts(unittest.TestCase):
    def test_only_unanimous_rounds_decide(self):
        for ratios, inclusive, expected in [
            ([1.0, 1.1, 1.0, 1.1, 1.2], True, "met"),
            ([0.4, 0.4, 0.4, 0.4, 0.5], False, "inside spread"),
            ([1.21, 1.3, 1.3, 1.3, 1.3], True, "missed"),
            ([1.0, 1.0, 1.0, 1.0, 1.3], True, "inside spread"),
            ([1.0, 1.3, 1.3, 1.3, 1.3], True, "inside spread"),
        ]:
            bound = 1.2 if inclusive else 0.5
            self.assertEqual(report.verdict(ratios, bound, inclusive), expected, ratios)

    def test_too_few_rounds_are_not_judged(self):
        self.assertIn("not judged", report.verdict([1.0] * 4, 1.2))

    def test_ratios_pair_the_rounds(self):
        # Both sides drift together, so each round's ratio is 1.1 although the medians' spread is wide.
        lines = report.verdicts(samples(nginx=[10, 12, 14, 16, 18], gateway=[11, 13.2, 15.4, 17.6, 19.8]), TITLES)
        self.assertEqual(lines, ["CPU per request, gateway <= 1.2 x nginx: met; 1.10 in 5 rounds"])

    def test_each_bound_whose_sides_are_there(self):
        rounds = {"nginx": [10] * 5, "gateway": [13] * 5, "gateway_wasm": [13] * 5, "envoy_wasm": [25] * 5}
        verdicts = [line.split(": ")[1].split(";")[0] for line in report.verdicts(samples(**rounds), TITLES)]
        self.assertEqual(verdicts, ["missed", "met", "missed"])

    def test_disturbance_names_the_candidate(self):
        rounds = {"nginx": [sample(10), sample(10, foreign_share=0.3)], "gateway": [sample(10, foreign_share=0.01)]}
        self.assertEqual(report.disturbances(rounds, TITLES), ["disturbed: while nginx was measured, other work used up to 30% of a core"])


class Ratios(unittest.TestCase):
    def test_the_gateway_is_set_against_each_of_the_others(self):
        line = report.ratios(samples(nginx=[10, 10], haproxy=[20, 20], envoy=[40, 80], gateway=[10, 20]), TITLES)
        self.assertEqual(line, "CPU per request, gateway: 1.50 (1.00-2.00) x nginx, 0.75 (0.50-1.00) x HAProxy, 0.25 x Envoy")

    def test_only_what_was_measured(self):
        self.assertEqual(report.ratios(samples(envoy=[20], gateway=[10]), TITLES), "CPU per request, gateway: 0.50 x Envoy")
        self.assertIsNone(report.ratios(samples(nginx=[20]), TITLES))


class Tables(unittest.TestCase):
    def test_spread_is_median_and_extremes(self):
        self.assertEqual(report.spread([3.0, 1.0, 2.0], "{:.1f}"), "2.0 (1.0-3.0)")
        self.assertEqual(report.spread([2.001, 2.002], "{:.1f}"), "2.0")

    def test_a_row_holds_one_cell_for_each_heading(self):
        rows = report.table(samples(nginx=[10, 12], gateway=[20, 24]), TITLES)
        self.assertEqual([row[0] for row in rows[1:]], ["nginx", "gateway"])
        self.assertEqual({len(row) for row in rows}, {len(report.HEADINGS)})
        self.assertEqual((rows[2][4], rows[2][-1]), ("22.00 (20.00-24.00)", "2.00"))

    def test_no_ratio_without_nginx(self):
        self.assertEqual(report.table(samples(gateway=[20]), TITLES)[1][-1], "-")

    def test_markdown_replaces_only_what_is_between_the_marks_of_the_scenario(self):
        one, two = report.marks("one"), report.marks("two")
        text = "before\n{}\nold\n{}\nbetween\n{}\nother\n{}\nafter\n"
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "README.md")
            with open(path, "w") as file:
                file.write(text.format(*one, *two))
            report.write_markdown(path, "one", "One", "new\n")
            with open(path) as file:
                self.assertEqual(file.read(), text.replace("old", "new").format(*one, *two))

    def test_markdown_without_marks_gets_them_once(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "made", "tables.md")
            for text in ("first\n", "second\n"):
                report.write_markdown(path, "one", "One", text)
                report.write_markdown(path, "two", "Two", text)
            begin, end = report.marks("one")
            second_begin, second_end = report.marks("two")
            with open(path) as file:
                self.assertEqual(file.read(), f"#### One\n\n{begin}\nsecond\n{end}\n\n#### Two\n\n{second_begin}\nsecond\n{second_end}\n")


if __name__ == "__main__":
    unittest.main()
