"""halfopend for an hour: does it grow, leak or fall behind?"""

import sys
import tempfile
import time
from pathlib import Path

from . import resident
from .program import machine

# Minutes: -n sets another number.
ROUNDS = 60
NEEDED = {"nsenter": "util-linux", "tail": "coreutils"}
BENCHES = False
DAEMON = True
TARGETS, INTERVAL = resident.LOADS[0]


def markdown(lab, minutes):
    samples = []
    with resident.Server(lab), tempfile.TemporaryDirectory() as folder:
        with resident.halfopend(Path(folder), TARGETS, INTERVAL) as running:
            time.sleep(running.warm_up)
            cpu, begun, packets = running.cpu(), time.monotonic(), resident.crossed()
            for minute in range(minutes + 1):
                time.sleep(max(0, begun + 60 * minute - time.monotonic()))
                samples.append((running.kib("VmRSS"), running.descriptors()))
                print(f"minute {minute}: {samples[-1][0]} KiB, {samples[-1][1]} descriptors", file=sys.stderr, flush=True)
            elapsed = time.monotonic() - begun
            cpu, packets = (running.cpu() - cpu) / elapsed, resident.crossed() - packets
            late = running.stop(TARGETS)
    checks = TARGETS / INTERVAL * elapsed
    first, last = samples[0], samples[-1]
    return "\n".join(
        [
            f"{TARGETS:,} targets every {INTERVAL} s for {minutes} minutes, on {machine()}:",
            "",
            "| | at the beginning | at the end |",
            "|---|---:|---:|",
            f"| memory | {first[0]:,} KiB | {last[0]:,} KiB |",
            f"| the most since the beginning | | {max(kib for kib, _ in samples):,} KiB |",
            f"| descriptors | {first[1]} | {last[1]} |",
            "",
            f"CPU {cpu:.1%} of a core, {packets / checks:.2f} packets per check, 99 % of the checks were late by {late} (at most, unless it says more).",
        ]
    )
