"""Scrapes of halfopend while it checks many targets."""

import subprocess
import tempfile
import time
from pathlib import Path

from . import resident
from .metrics import METRICS
from .program import machine

ROUNDS = 1
NEEDED = {"curl": "curl", "nsenter": "util-linux", "tail": "coreutils"}
BENCHES = False
DAEMON = True

TARGETS, INTERVAL = 100_000, 5

# Prometheus scrapes as often by default.
EVERY = 15
SCRAPES = 5


def markdown(lab, rounds):
    rows = []
    with resident.Server(lab) as server:
        for _ in range(rounds):
            for settings, scrapes in (("", 0), ("", SCRAPES), ("target_metrics = false\n", SCRAPES)):
                rows.append(measure(server, settings, scrapes))
    return "\n".join(
        [
            f"{TARGETS:,} targets, each checked every {INTERVAL} s, on {machine()}, and scraped every {EVERY} s by curl, which stores nothing.",
            "CPU is that of the thread that answers; late as in the table of checks.",
            "",
            "| metrics | scrapes | size | time, median | time, longest | CPU of one | late | peak memory |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
        ]
    )


def measure(server, settings, scrapes):
    server.accepted()
    with tempfile.TemporaryDirectory() as folder, resident.halfopend(Path(folder), TARGETS, INTERVAL, settings) as running:
        time.sleep(running.warm_up)
        measured = []
        for _ in range(scrapes or SCRAPES):
            begun, cpu = time.monotonic(), cpu_of_http(running)
            if scrapes:
                measured.append((*scrape(), cpu_of_http(running) - cpu))
            time.sleep(max(0, EVERY - (time.monotonic() - begun)))
        peak, late = running.peak_kib(), running.stop(TARGETS)
    what = "of pools" if settings else "of targets"
    end = f"{late} | {peak / 1024:,.1f} MiB |"
    if not scrapes:
        return f"| {what} | 0 | | | | | {end}"
    seconds = sorted(it[0] for it in measured)
    cpu = sum(it[2] for it in measured) / scrapes
    size = f"{measured[-1][1] / 1e6:,.2f} MB"
    return f"| {what} | {scrapes} | {size} | {seconds[scrapes // 2] * 1e3:,.0f} ms | {seconds[-1] * 1e3:,.0f} ms | {cpu * 1e3:,.0f} ms | {end}"


def cpu_of_http(running):
    stats = [(thread / "stat").read_text() for thread in Path(f"/proc/{running.process.pid}/task").iterdir()]
    return sum(running.seconds(stat) for stat in stats if " (http) " in stat)


def scrape():
    """Returns the seconds that a scrape took, and its bytes."""
    command = ["curl", "--silent", "--fail", "--output", "/dev/null", "--write-out", "%{time_total} %{size_download}", METRICS]
    seconds, size = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(size)
