"""Many checks started at the same moment, as by a load balancer."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import build
from .lab import PORT, SERVER
from .program import ENVIRONMENT, machine, version_of
from .single import CHECK_TCP

ROUNDS = 20
NEEDED = {"nmap": "nmap", CHECK_TCP: "monitoring-plugins-basic"}
BENCHES = False
DAEMON = False
PROCESSES = 200

# Seconds in which the kernel frees what the processes left behind: much of that waits for an RCU grace period.
PAUSE = 0.5


def markdown(_lab, rounds):
    halfopen = [str(build.HALFOPEN), SERVER, PORT]
    nmap = [shutil.which("nmap"), "-n", "-Pn", "-sS", "-p", PORT, SERVER]
    programs = {
        "an empty C program": ([str(build.EMPTY)], rounds),
        "**halfopen**": (halfopen, rounds),
        "halfopen --engine connect": ([*halfopen, "--engine", "connect"], rounds),
        version_of("check_tcp", CHECK_TCP): ([CHECK_TCP, "-H", SERVER, "-p", PORT], rounds),
        version_of("nmap", "nmap") + " -n -Pn -sS": (nmap, max(1, rounds // 10)),
    }
    idle = busy_during(lambda: time.sleep(5)) / 5
    if idle > 0.1:
        sys.exit(f"bench: burst needs a quiet machine: other programs keep {idle:.0%} of one CPU busy")
    rows = [row(name, *measure(command, bursts, idle)) for name, (command, bursts) in programs.items()]
    return "\n".join(
        [
            f"{PROCESSES} processes started at the same moment, one open port each, mean of {rounds} bursts (a tenth as many of nmap), on",
            f"{machine()}. CPU time is that of the whole machine, up to {PAUSE} s after the",
            f"last process has ended, less the {idle:.1%} of one CPU that was busy before:",
            "",
            f"| program | wall time of all {PROCESSES} | CPU time of all {PROCESSES} |",
            "|---|---:|---:|",
            *rows,
        ]
    )


def row(name, wall, cpu):
    return f"| {name} | {wall * 1e3:,.0f} ms | {cpu * 1e3:,.0f} ms |"


def measure(command, bursts, idle):
    """Mean wall time of a burst, and mean processor time beyond that of the idle machine."""
    burst(command)  # the warm-up
    seconds = []
    start = time.perf_counter()
    busy = busy_during(lambda: seconds.extend(burst(command) for _ in range(bursts)))
    idle *= time.perf_counter() - start
    return sum(seconds) / bursts, (busy - idle) / bursts


def burst(command):
    """Seconds until the last process has ended."""
    starter = [build.BURST, str(PROCESSES), *command]
    done = subprocess.run(starter, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    time.sleep(PAUSE)
    if done.returncode != 0:
        sys.exit(f"bench: of {PROCESSES} times {' '.join(command)} not all ended with exit code 0")
    return int(done.stdout) / 1e9


def busy_during(work):
    """Seconds that all processors together were busy (proc_stat(5)), in steps of 10 ms."""
    before = busy()
    work()
    return busy() - before


def busy():
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / 100
