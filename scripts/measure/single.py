"""One open port."""

import shutil
import statistics
import tempfile

from . import build
from .lab import CLIENT, PORT, SERVER
from .program import Contender, Copies, machine, race, version_of

ROUNDS = 200
CHECK_TCP = "/usr/lib/nagios/plugins/check_tcp"
NEEDED = {"nmap": "nmap", CHECK_TCP: "monitoring-plugins-basic"}
BENCHES = False
DAEMON = False

# What ends with each mark of scripts/stages.c, and with the process.
STAGES = (
    "start: exec, libraries, relocations",
    "runtime, signals, arguments",
    "sockets",
    "giving up privileges",
    "filter of system calls",
    "routes, packets, closing sockets",
    "output and exit",
)


def markdown(_lab, rounds):
    floor = Contender(
        "floor: the same packets in C, nothing else",
        [str(build.FLOOR), CLIENT, SERVER, "1", PORT],
        r"^1 of (1) open$",
    )
    halfopen = Contender("**halfopen**", [str(build.HALFOPEN), SERVER, PORT], r"^TCP HALF-OPEN OK - ")
    connect = Contender(
        "halfopen --engine connect",
        [str(build.HALFOPEN), "--engine", "connect", SERVER, PORT],
        r"^TCP HALF-OPEN OK - ",
    )
    unconfined = Contender(
        "halfopen built without its filter of system calls",
        [str(build.UNCONFINED), SERVER, PORT],
        r"^TCP HALF-OPEN OK - ",
    )
    check_tcp = Contender(
        version_of("check_tcp", CHECK_TCP),
        [CHECK_TCP, "-H", SERVER, "-p", PORT],
        r"^TCP OK - ",
    )
    nmap = Contender(
        version_of("nmap", "nmap") + " -n -Pn -sS",
        [shutil.which("nmap"), "-n", "-Pn", "-sS", "-p", PORT, SERVER],
        r"^\d+/tcp open ",
        every=10,
    )
    empty = Contender("an empty C program", [str(build.EMPTY)], r"\Z")
    staged = Contender("", halfopen.command, halfopen.proof, stages=build.STAGES)
    contenders = [empty, floor, halfopen, connect, unconfined, check_tcp, nmap]
    with tempfile.TemporaryDirectory(dir=build.TARGET) as directory:
        race([*contenders, staged], rounds, Copies(directory))
    return "\n".join(
        [
            f"Whole process, one open port, median of {rounds} alternating runs ({len(nmap.seconds)} of nmap), over a veth pair on",
            f"{machine()}:",
            "",
            "| program | wall time | halfopen takes | peak memory |",
            "|---|---:|---:|---:|",
            *(row(contender, halfopen) for contender in contenders),
            "",
            "The stages of halfopen:",
            "",
            "| stage | wall time |",
            "|---|---:|",
            *stages(halfopen, staged),
        ]
    )


def stages(halfopen, staged):
    """Median times. The first stage is what the others leave of the whole: the library that takes the times is loaded in it."""
    between = [[end - start for start, end in zip(run, run[1:])] for run in staged.marks]
    medians = [statistics.median(stage) / 1e3 for stage in zip(*between)]
    medians[0] = halfopen.wall() * 1e6 - sum(medians[1:])
    return [f"| {name} | {median:.0f} µs |" for name, median in zip(STAGES, medians, strict=True)]


def row(contender, ours):
    ratio = ours.wall() / contender.wall()
    share = "" if contender is ours else f"1/{1 / ratio:.0f}" if ratio < 0.1 else f"{ratio:.2f} ×"
    wall, memory = contender.wall() * 1e3, contender.peak_kib / 1024
    return f"| {contender.name} | {wall:.2f} ms | {share} | {memory:.1f} MiB |"
