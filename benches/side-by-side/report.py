"""Turns samples into the table, the verdicts and the markdown. Pure: reads no clock, no /proc and starts nothing."""

import os
from dataclasses import dataclass
from statistics import median

# Below this many rounds no verdict is given.
ROUNDS_FOR_VERDICT = 5
# Work by other programs, as a share of one core, above which the figures are called disturbed.
DISTURBED_SHARE = 0.05

# (who, against whom, factor of CPU per request, whether the factor itself still passes)
BOUNDS = [
    ("gateway", "nginx", 1.2, True),
    ("gateway-wasm", "nginx", 1.3, True),
    ("gateway-wasm", "envoy-wasm", 0.5, False),
]

# Against whom the gateway's cost is stated beside each table.
BASES = ["nginx", "haproxy", "envoy"]

HEADINGS = ["", "requests/s", "p50 µs", "p99 µs", "CPU µs/request", "user", "system", "RSS MiB", "core busy", "CPU, nginx = 1"]


@dataclass(frozen=True)
class Sample:
    """One candidate in one round."""

    requests_per_second: float
    p50_us: int
    p99_us: int
    user_us: float
    system_us: float
    rss_mib: float
    core_share: float
    foreign_share: float

    @property
    def cpu_us(self):
        return self.user_us + self.system_us


def table(samples, titles):
    """Rows of text, headings first. `samples` maps a candidate's key to one sample per round."""
    rows = [HEADINGS]
    for key, rounds in samples.items():
        ratios = cpu_ratios(samples, key, "nginx")
        rows.append([
            titles[key],
            spread([s.requests_per_second for s in rounds], "{:,.0f}"),
            spread([s.p50_us for s in rounds], "{:,.0f}"),
            spread([s.p99_us for s in rounds], "{:,.0f}"),
            spread([s.cpu_us for s in rounds], "{:.2f}"),
            spread([s.user_us for s in rounds], "{:.2f}"),
            spread([s.system_us for s in rounds], "{:.2f}"),
            spread([s.rss_mib for s in rounds], "{:.1f}"),
            spread([s.core_share * 100 for s in rounds], "{:.0f}") + " %",
            spread(ratios, "{:.2f}") if ratios else "-",
        ])
    return rows


def cpu_ratios(samples, key, base):
    """CPU per request against `base`, round by round; empty when one of the two was not measured."""
    return [ours.cpu_us / theirs.cpu_us for ours, theirs in zip(samples.get(key, []), samples.get(base, []))]


def ratios(samples, titles):
    """One line: what the gateway's CPU per request is against each of the others that was measured; None without the gateway."""
    parts = []
    for base in BASES:
        found = cpu_ratios(samples, "gateway", base)
        if found:
            parts.append(f"{spread(found, '{:.2f}')} x {titles[base]}")
    return f"CPU per request, {titles['gateway']}: {', '.join(parts)}" if parts else None


def verdicts(samples, titles):
    """One line for each bound whose two sides were measured."""
    lines = []
    for key, base, bound, inclusive in BOUNDS:
        ratios = cpu_ratios(samples, key, base)
        if ratios:
            sign = "<=" if inclusive else "<"
            what = f"CPU per request, {titles[key]} {sign} {bound} x {titles[base]}"
            lines.append(f"{what}: {verdict(ratios, bound, inclusive)}; {spread(ratios, '{:.2f}')} in {len(ratios)} rounds")
    return lines


def verdict(ratios, bound, inclusive=True):
    """`met` or `missed` only when every round says so."""
    if len(ratios) < ROUNDS_FOR_VERDICT:
        return f"not judged, {ROUNDS_FOR_VERDICT} rounds are needed"
    held = [ratio < bound or (inclusive and ratio == bound) for ratio in ratios]
    if all(held):
        return "met"
    return "inside spread" if any(held) else "missed"


def disturbances(samples, titles):
    """One line for each candidate during whose rounds other programs (or the hypervisor) worked."""
    lines = []
    for key, rounds in samples.items():
        share = max(s.foreign_share for s in rounds)
        if share > DISTURBED_SHARE:
            lines.append(f"disturbed: while {titles[key]} was measured, other work used up to {share:.0%} of a core")
    return lines


def spread(values, form):
    """`median (min-max)`; the median alone when all values print the same."""
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def plain(rows):
    """The table for a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def markdown(rows, results, notes):
    """The table, the ratios and verdicts, and what the run was like, as markdown."""
    head, *body = rows
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    for items in (results, notes):
        if items:
            lines += ["", *(f"- {item}" for item in items)]
    return "\n".join(lines) + "\n"


def marks(name):
    """The lines between which the table of a scenario stands."""
    return f"<!-- side-by-side {name}: begin -->", f"<!-- side-by-side {name}: end -->"


def write_markdown(path, name, title, text):
    """Replaces what is between the scenario's marks; a file without them gets a heading, the marks and the text at its end."""
    begin, end = marks(name)
    try:
        with open(path) as file:
            existing = file.read()
    except FileNotFoundError:
        existing = ""
    if begin in existing and end in existing:
        before, rest = existing.split(begin, 1)
        after = rest.split(end, 1)[1]
    else:
        before, after = f"{existing}{chr(10) if existing else ''}#### {title}\n\n", "\n"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as file:
        file.write(f"{before}{begin}\n{text}{end}{after}")
