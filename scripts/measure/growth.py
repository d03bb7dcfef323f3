"""Time and memory as pools grow."""

import ipaddress

from . import build
from .lab import MANY, PORT, SILENT
from .program import Contender, race

ROUNDS = 3
NEEDED = {}
BENCHES = False
DAEMON = False
MILLION = 1 << 20

# With this many retries the verdict takes long enough for a million targets, with their
# retransmissions, to be pending at once.
RETRIES, PATIENCE = "3", 15


def markdown(_lab, rounds):
    sizes = [open_ports(count) for count in (1, 100, 10_000, 65_536)]
    closed = Contender(
        "closed (16 ports of each address)",
        command("--expect", "closed", f"{MANY}:81-96"),
        rf"^TCP HALF-OPEN OK - (\d+) of {MILLION} closed",
        MILLION,
    )
    race([*sizes, closed], rounds)
    silent = never_answering()
    return "\n".join(
        [
            f"halfopen --rate 0 as pools grow, median of {rounds} runs:",
            "",
            "| targets | they are | wall time | CPU time | peak memory |",
            "|---:|---|---:|---:|---:|",
            *map(row, [*sizes, closed]),
            "",
            f"With {MILLION:,} targets that never answer (three retries) {pending(silent, sizes[0])}",
        ]
    )


def command(*arguments):
    return [str(build.HALFOPEN), "--rate", "0", "--timeout", "60", *arguments]


def open_ports(count):
    first = ipaddress.ip_network(MANY)[0]
    blocks = ipaddress.summarize_address_range(first, first + count - 1)
    proof = rf"^TCP HALF-OPEN OK - (\d+) of {count} open" if count > 1 else r"^TCP HALF-OPEN OK - "
    return Contender("open", command(*(f"{block}:{PORT}" for block in blocks)), proof, count)


def never_answering():
    silent = Contender(
        "silent",
        command("--expect", "filtered", "--retries", RETRIES, f"{SILENT}:1-32"),
        rf"^TCP HALF-OPEN OK - (\d+) of {MILLION} filtered",
        MILLION,
    )
    race([silent], 1)
    return silent


def pending(silent, single):
    """Memory of a million targets that are pending at once: the last SYN leaves before the first verdict is reached."""
    if silent.wall() >= 2 * PATIENCE:
        return f"no result: in {silent.wall():.0f} s not all of them were pending at once."
    peak, each = silent.peak_kib / 1024, (silent.peak_kib - single.peak_kib) * 1024 / MILLION
    return f"peak memory is {peak:.0f} MiB, {each:.0f} bytes per pending target."


def row(contender):
    wall, cpu, memory = contender.wall() * 1e3, contender.cpu() * 1e3, contender.peak_kib / 1024
    return f"| {contender.targets:,} | {contender.name} | {wall:,.1f} ms | {cpu:,.1f} ms | {memory:.1f} MiB |"
