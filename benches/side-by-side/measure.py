"""One scenario from start to end: starts its programs, checks every answer, and measures round by round."""

import os
import time
from dataclasses import dataclass
from typing import Any

import accounting
import candidates
import check
import load
import report
from processes import BenchError, wait_until

# Log lines may be on their way when they are counted.
LOG_FLUSH_SECONDS = 15
# Of what nginx does when it is asked as fast as it answers. Envoy could not keep up with half of it.
FIXED_RATE_SHARE = 0.25
# Fewer requests than this share of the asked rate are named under the table.
HELD_SHARE = 0.98


@dataclass(frozen=True)
class Plan:
    """How long a scenario is measured; `rate` is that of scenarios with a fixed one, found out when it is None."""

    rounds: int
    seconds: int
    warmup: int
    rate: int = None


@dataclass
class Scene:
    """All that is running while a scenario is measured."""

    plan: Plan
    scenario: Any
    site: Any
    generator: Any
    origin: Any
    started: list
    rate: int = None


def scenario(plan, chosen, keys, site, processes):
    """Measures the candidates in `keys`. Returns their samples and notes for the report."""
    os.sched_setaffinity(0, _set(site.cores.load))
    print(site.cores.note, flush=True)
    generator = load.Generator(chosen, site.cores.load, site.directory, site.certificate)
    scene = Scene(plan, chosen, site, generator, _start_origin(chosen, site, processes), [])
    for key in keys:
        candidate = candidates.start(key, site, processes, chosen)
        wait_until(candidate.process, candidate.title, lambda: _wrong(scene, candidate))
        print(f"{candidate.title} answers as it should", flush=True)
        scene.started.append(candidate)

    completed = {key: 0 for key in keys}
    if chosen.fixed_rate:
        scene.rate = chosen.rate or plan.rate or _find_rate(scene, completed)
    samples, notes = _rounds(scene, completed)
    for candidate in scene.started:
        wrong = _wrong(scene, candidate)
        if wrong:
            raise BenchError(f"{candidate.title} no longer answers as it should: {wrong}")
    notes = [
        f"{plan.rounds} round{'s' * (plan.rounds > 1)} of {plan.seconds} s (after {plan.warmup} s of warm-up): "
        f"{chosen.describe(scene.rate)}; {site.cores.note}",
        *notes,
        *(_missing_log_lines(candidate, completed[candidate.key]) for candidate in scene.started),
    ]
    return samples, [note for note in notes if note]


def _start_origin(chosen, site, processes):
    origin = candidates.start_origin(site, processes, chosen.body)
    wait_until(origin, "the origin", lambda: check.wrong_answer(site.origin_port, chosen.body.encode()))
    return origin


def _wrong(scene, candidate):
    return check.wrong(scene.scenario, scene.site.certificate, candidate.port, candidate.filtered)


def _find_rate(scene, completed):
    """The rate for all: a share of what nginx does in the same minutes when it is asked as fast as it answers."""
    nginx = next((candidate for candidate in scene.started if candidate.key == "nginx"), None)
    if nginx is None:
        raise BenchError("without nginx there is nothing to take the fixed rate from: give it with --rate")
    fastest, seconds = 0.0, max(scene.plan.seconds, scene.plan.warmup)
    for _ in range(2):  # The first is the warm-up.
        result = scene.generator.result(nginx.title, scene.generator.start_and_wait(nginx.port, seconds))
        completed["nginx"] += result.requests
        fastest = result.requests / result.seconds
    connections = scene.scenario.connections
    rate = max(1, round(FIXED_RATE_SHARE * fastest / connections)) * connections
    print(f"nginx answers {fastest:,.0f} requests/s; the fixed rate is {rate:,}", flush=True)
    return rate


def _rounds(scene, completed):
    """Samples by candidate, and notes about what went otherwise than asked."""
    samples = {candidate.key: [] for candidate in scene.started}
    notes = {}
    for number in range(1, scene.plan.rounds + 1):
        for candidate in scene.started:
            sample, requests, note = _measure_once(scene, candidate)
            samples[candidate.key].append(sample)
            completed[candidate.key] += requests
            if note:
                notes[candidate.key] = note
            print(f"round {number}/{scene.plan.rounds}  {candidate.title:<17} {sample.requests_per_second:>9,.0f} requests/s"
                  f"  {sample.cpu_us:6.2f} µs CPU/request", flush=True)
    return samples, [f"{candidates.TITLES[key]} {note}" for key, note in notes.items()]


def _measure_once(scene, candidate):
    """One candidate, one round: (sample, requests completed with those of the warm-up, note or None)."""
    plan, generator, pid = scene.plan, scene.generator, candidate.process.pid
    warm_up = 0
    if plan.warmup:
        ended = generator.start_and_wait(candidate.port, plan.warmup, scene.rate)
        warm_up = generator.result(candidate.title, ended).requests
    used_before, accepted_before = accounting.cpu_of_tree(pid), accounting.connections_accepted()
    ours_before, machine_before, clock = _our_seconds(pid, scene.origin.pid), accounting.busy_seconds_of_machine(), time.monotonic()
    ended = generator.start_and_wait(candidate.port, plan.seconds, scene.rate)
    used = accounting.cpu_of_tree(pid) - used_before
    elapsed = time.monotonic() - clock
    foreign = (accounting.busy_seconds_of_machine() - machine_before) - (_our_seconds(pid, scene.origin.pid) - ours_before)
    accepted = accounting.connections_accepted() - accepted_before

    result = generator.result(candidate.title, ended)
    not_new = check.not_new(scene.scenario, accepted, result.requests)
    if not_new:
        raise BenchError(f"{candidate.title}: {not_new}")
    sample = report.Sample(
        requests_per_second=result.requests / result.seconds,
        p50_us=result.p50_us,
        p99_us=result.p99_us,
        user_us=used.user / result.requests * 1e6,
        system_us=used.system / result.requests * 1e6,
        rss_mib=accounting.rss_bytes_of_tree(pid) / 2**20,
        core_share=used.total / elapsed,
        foreign_share=max(0.0, foreign / elapsed),
    )
    return sample, warm_up + result.requests, check.not_kept(scene.scenario, accepted, result.requests) or not_held(scene.rate, sample)


def not_held(rate, sample):
    """None, or that fewer requests were answered than the fixed rate asks for."""
    if rate and sample.requests_per_second < HELD_SHARE * rate:
        return f"answered only {sample.requests_per_second:,.0f} of {rate:,} requests/s in a round, so that its load was another one"
    return None


def _our_seconds(*trees):
    """Processor time of everything that belongs to the measurement so far."""
    ours = [accounting.cpu_of_ended_children(), accounting.cpu_of_this_process(), *map(accounting.cpu_of_tree, trees)]
    return sum(cpu.total for cpu in ours)


def _missing_log_lines(candidate, completed):
    """A note when the access log holds fewer lines than requests were answered; None when it is whole."""
    deadline = time.monotonic() + LOG_FLUSH_SECONDS
    while (logged := candidate.logged_requests()) < completed:
        if time.monotonic() > deadline:
            return f"{candidate.title} logged {logged:,} of {completed:,} requests"
        time.sleep(0.2)
    return None


def _set(cores):
    return set(map(int, cores.split(","))) if cores is not None else os.sched_getaffinity(0)
