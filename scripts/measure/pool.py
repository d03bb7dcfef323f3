"""65,536 open ports, as fast as each program can."""

import shutil

from . import build
from .lab import CLIENT, INTERFACE, MANY, NOBODY, PORT
from .program import Contender, machine, race, version_of

ROUNDS = 5
NEEDED = {"zmap": "zmap", "masscan": "masscan", "nmap": "nmap"}
BENCHES = False
DAEMON = False
TARGETS = 65_536
FEWER, FEWER_TARGETS = "198.18.0.0/18", 16_384
ADDRESS = r"(?<![\d.])198\.18\.\d+\.\d+(?![\d.])"


def markdown(lab, rounds):
    first = MANY.partition("/")[0]
    floor = Contender(
        "floor: the same packets in C, nothing else",
        [str(build.FLOOR), CLIENT, first, str(TARGETS), PORT],
        rf"^(\d+) of {TARGETS} open$",
        TARGETS,
    )
    halfopen = Contender(
        "**halfopen** --rate 0",
        [str(build.HALFOPEN), "--rate", "0", f"{MANY}:{PORT}"],
        rf"^TCP HALF-OPEN OK - (\d+) of {TARGETS} open",
        TARGETS,
    )
    connect = Contender(
        "halfopen --engine connect --rate 0",
        [str(build.HALFOPEN), "--engine", "connect", "--rate", "0", f"{MANY}:{PORT}"],
        rf"^TCP HALF-OPEN OK - (\d+) of {TARGETS} open",
        TARGETS,
    )
    zmap = Contender(
        version_of("zmap", "zmap") + " -r 0 -c 1",
        # No blocklist: it contains 198.18.0.0/15, which here is the lab.
        [shutil.which("zmap"), "-C", "/dev/null", "-b", "/dev/null", "-q", "--disable-syslog", "-v", "1"]
        + ["-i", INTERFACE, "-G", lab.server_mac, "-r", "0", "-c", "1", "-p", PORT, "-f", "saddr", "-o", "-", MANY],
        rf"^{ADDRESS}$",
        TARGETS,
        tolerated=True,
    )
    masscan = Contender(
        version_of("masscan", "masscan") + " --rate 10000000 --wait 1",
        [shutil.which("masscan"), MANY, "-p", PORT, "--rate", "10000000", "--wait", "1"]
        + ["-e", INTERFACE, "--router-mac", lab.server_mac, "--source-ip", NOBODY, "-oL", "-"],
        rf"^open tcp {PORT} {ADDRESS} ",
        TARGETS,
        tolerated=True,
    )
    nmap = Contender(
        version_of("nmap", "nmap") + " -n -Pn -sS --min-rate 200000",
        [shutil.which("nmap"), "-n", "-Pn", "-sS", "--min-rate", "200000", "-p", PORT, "-oG", "-", FEWER],
        rf"^Host: {ADDRESS} .*/open/",
        FEWER_TARGETS,
        tolerated=True,
    )
    contenders = [floor, halfopen, connect, zmap, masscan, nmap]
    race(contenders, rounds)
    return "\n".join(
        [
            f"Whole process, {TARGETS:,} open ports, no limit on the rate, median of {rounds} alternating runs, over a veth pair on",
            f"{machine()}.",
            "The server at the other end uses the same CPUs, so its time is part of each row. One second of the time of zmap and masscan is",
            "their wait for late answers; halfopen ends when the last answer has arrived. Right: in the worst run.",
            "",
            "| program | targets | wall time | halfopen's rate is | CPU per 1,000 targets | peak memory | right |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(row(contender, halfopen) for contender in contenders),
        ]
    )


def row(contender, ours):
    rate, our_rate = (each.targets / each.wall() for each in (contender, ours))
    ratio = "" if contender is ours else f"{our_rate / rate:.2f} ×"
    cpu, memory = contender.cpu() / contender.targets * 1e6, contender.peak_kib / 1024
    right = f"{min(contender.found) * 1000 // contender.targets / 10:g} %"  # rounded down: 100 means all
    wall = f"{contender.wall():.3f} s"
    return f"| {contender.name} | {contender.targets:,} | {wall} | {ratio} | {cpu:.2f} ms | {memory:.1f} MiB | {right} |"
