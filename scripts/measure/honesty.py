"""Round-trip times in a large pool, compared with those of single checks."""

import ipaddress
import json
import statistics
import sys

from . import build
from .lab import MANY, PORT
from .program import Output, run

ROUNDS = 200
NEEDED = {}
BENCHES = False
DAEMON = False
CROWD = 10_000


def markdown(_lab, rounds):
    first = ipaddress.ip_network(MANY)[0]
    blocks = [f"{block}:{PORT}" for block in ipaddress.summarize_address_range(first, first + CROWD - 1)]
    singles = [round_trips([f"{first + number}", PORT], 1) for number in range(rounds // 2)]
    crowd = round_trips(blocks, CROWD)
    singles += [round_trips([f"{first + number}", PORT], 1) for number in range(rounds // 2, rounds)]
    alone, together = (statistics.median(times) * 1e6 for times in (sum(singles, []), crowd))
    return "\n".join(
        [
            f"Median round-trip time of {CROWD:,} targets at the default rate: {together:.0f} µs; of {rounds} single checks, half of them before and half",
            f"of them after: {alone:.0f} µs. Difference: {together - alone:+.0f} µs.",
        ]
    )


def round_trips(targets, count):
    """Runs halfopen on targets that are all open, and returns its output."""
    command = [str(build.HALFOPEN), "--output", "json", *targets]
    with Output() as output:
        exit_code, _ = run(command, output)
        said = output.read()
    times = [line["rtt"] for line in map(json.loads, said.splitlines()) if line.get("state") == "open"]
    if exit_code != 0 or len(times) != count:
        sys.exit(f"bench: {' '.join(command)} found {len(times)} of {count} open (exit {exit_code})")
    return times
