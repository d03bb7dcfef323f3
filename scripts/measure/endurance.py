"""halfopend for an hour: does it grow, leak or fall behind?"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import resident
from .metrics import percentile, read_lags
from .program import machine

# Minutes: -n sets another number.
ROUNDS = 60
NEEDED = {"nsenter": "util-linux", "tail": "coreutils"}
BENCHES = False
DAEMON = True
TARGETS, INTERVAL = resident.LOADS[0]

# By how much memory may grow without a leak: the allocator takes whole blocks, and hardly ever returns them.
SLACK_KIB = 1024

# The goal for checks that begin late, in seconds.
LATE_GOAL = 0.01


@dataclass
class Sample:
    """The state after a minute, and how late checks were in it."""

    kib: int
    descriptors: int
    late: float  # by how many seconds 99 % of the checks of this minute were late, at most


def markdown(lab, minutes):
    samples = []
    with resident.Server(lab), tempfile.TemporaryDirectory() as folder:
        with resident.halfopend(Path(folder), TARGETS, INTERVAL) as running:
            time.sleep(running.warm_up)
            lags = read_lags()
            cpu, begun, packets = running.cpu(), time.monotonic(), resident.crossed()
            for minute in range(1, minutes + 1):
                time.sleep(max(0, begun + 60 * minute - time.monotonic()))
                # Before the next reading of metrics, whose connection takes a descriptor.
                kib, descriptors = running.kib("VmRSS"), running.descriptors()
                before, lags = lags, read_lags()
                samples.append(Sample(kib, descriptors, percentile(99, before, lags)))
                print(f"minute {minute}: {samples[-1]}", file=sys.stderr, flush=True)
            elapsed = time.monotonic() - begun
            cpu, packets = (running.cpu() - cpu) / elapsed, resident.crossed() - packets
            running.stop(TARGETS)
    checks = TARGETS / INTERVAL * elapsed
    first, last = samples[: (minutes + 1) // 2], samples[minutes // 2 :]
    rows = [
        ("memory, at most", max_of(first, "kib"), max_of(last, "kib"), SLACK_KIB, "{:,} KiB"),
        ("descriptors, at most", max_of(first, "descriptors"), max_of(last, "descriptors"), 0, "{}"),
    ]
    worst = max_of(samples, "late")
    grown = [name for name, before, after, slack, _ in rows if after > before + slack]
    judgement = f"**It grows: {', '.join(grown)}.**" if grown else "Neither grows."
    if worst > LATE_GOAL:
        judgement += " **It falls behind.**"
    table = "\n".join(
        [
            f"{TARGETS:,} targets every {INTERVAL} s for {minutes} minutes, on {machine()}:",
            "",
            "| | first half | second half | may grow by |",
            "|---|---:|---:|---:|",
            *(f"| {name} | {form.format(a)} | {form.format(b)} | {form.format(slack)} |" for name, a, b, slack, form in rows),
            "",
            f"{judgement} In the worst minute, 99 % of the checks were late by {worst * 1000:g} ms at most (goal: {LATE_GOAL * 1000:g} ms).",
            f"CPU {cpu:.1%} of a core, {packets / checks:.2f} packets per check.",
        ]
    )
    if grown or worst > LATE_GOAL:
        sys.exit(table)
    return table


def max_of(samples, name):
    return max(getattr(sample, name) for sample in samples)
