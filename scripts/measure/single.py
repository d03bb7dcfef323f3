"""One open port."""

import shutil

from . import build
from .lab import CLIENT, PORT, SERVER
from .program import Contender, machine, race, version_of

ROUNDS = 200
CHECK_TCP = "/usr/lib/nagios/plugins/check_tcp"
NEEDED = {"nmap": "nmap", CHECK_TCP: "monitoring-plugins-basic"}
BENCHES = False


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
    contenders = [floor, halfopen, connect, unconfined, check_tcp, nmap]
    race(contenders, rounds)
    return "\n".join(
        [
            f"Whole process, one open port, median of {rounds} alternating runs ({len(nmap.seconds)} of nmap), over a veth pair on",
            f"{machine()}:",
            "",
            "| program | wall time | halfopen takes | peak memory |",
            "|---|---:|---:|---:|",
            *(row(contender, halfopen) for contender in contenders),
        ]
    )


def row(contender, ours):
    ratio = ours.wall() / contender.wall()
    share = "" if contender is ours else f"1/{1 / ratio:.0f}" if ratio < 0.1 else f"{ratio:.2f} ×"
    wall, memory = contender.wall() * 1e3, contender.peak_kib / 1024
    return f"| {contender.name} | {wall:.2f} ms | {share} | {memory:.1f} MiB |"
