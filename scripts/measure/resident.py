"""halfopend, HAProxy and the floor, which check the same servers again and again."""

import contextlib
import ipaddress
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import build
from .lab import CLIENT, INTERFACE, MANY, PORT
from .metrics import percentile, read_lags
from .program import ENVIRONMENT, machine, version_of

ROUNDS = 1
NEEDED = {"haproxy": "haproxy", "nsenter": "util-linux", "tail": "coreutils"}
BENCHES = False
DAEMON = True

# The server listens on these ports of each of its addresses, and counts the connections that it accepts.
PORTS = range(8000, 8016)

# Targets, the seconds between two checks of each, and the goals: the share of a core, and megabytes.
GOALS = {(10_000, 1): (0.08, 20), (100_000, 5): (0.20, 100), (1_000_000, 60): (0.25, 300)}
LOADS = tuple(GOALS)

# The goal for 99 % of the checks.
LATE_GOAL = "10 ms"

# A setting of halfopend: its metrics are read before and after, and should take no time.
POOLS_ONLY = "target_metrics = false\n"

# HAProxy takes no more servers in a backend without minutes of start-up.
HAPROXY_TARGETS = 10_000

# How long a program is measured, after it has checked every target and reached its steady state.
WINDOW = 30


def markdown(lab, rounds):
    rows = []
    with Server(lab) as server:
        for _ in range(rounds):
            for load in LOADS:
                rows += [measure(halfopend, server, *load), measure(floor, server, *load)]
            rows.append(measure(haproxy, server, HAPROXY_TARGETS, LOADS[0][1]))
    return "\n".join(
        [
            f"Open ports that are checked again and again, over a veth pair on {machine()}. CPU is that of the program and all its",
            f"threads during {WINDOW} s, and has the kernel's work for it: the server at the other end of a veth pair answers in the",
            "context of the sender. Late: by how much the first SYN of 99 % of the checks left after it was due, at most, in that time.",
            "",
            "| program | targets | each every | CPU of a core | goal | peak memory | goal | late | goal | packets per check | connections accepted |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *map(row, rows),
        ]
    )


@dataclass
class Measured:
    name: str
    targets: int
    interval: int
    cpu: float  # seconds of CPU per second
    peak_kib: int
    late: str
    packets: float  # in both directions, per check that was due
    accepted: int


def row(measured):
    m = measured
    cpu_goal = memory_goal = late_goal = ""
    if m.late:
        cpu, megabytes = GOALS[m.targets, m.interval]
        cpu_goal, memory_goal, late_goal = f"{cpu:.0%}", f"{megabytes} MB", LATE_GOAL
    return (
        f"| {m.name} | {m.targets:,} | {m.interval} s | {m.cpu:.1%} | {cpu_goal} | {m.peak_kib * 1024 / 1e6:,.1f} MB | {memory_goal}"
        f" | {m.late} | {late_goal} | {m.packets:.2f} | {m.accepted:,} |"
    )


def measure(program, server, targets, interval):
    server.accepted()
    with tempfile.TemporaryDirectory() as folder, program(Path(folder), targets, interval) as running:
        time.sleep(running.warm_up)
        lags, cpu, packets, begun = running.lags(), running.cpu(), crossed(), time.monotonic()
        time.sleep(WINDOW)
        cpu, packets, elapsed = running.cpu() - cpu, crossed() - packets, time.monotonic() - begun
        peak, late = running.peak_kib(), ""
        if lags:
            late = f"{percentile(99, lags, running.lags()) * 1e3:g} ms"
        running.stop(targets)
    checks = targets / interval * elapsed
    return Measured(running.name, targets, interval, cpu / elapsed, peak, late, packets / checks, server.accepted())


def endpoints(count):
    """The first `count` endpoints, as blocks of addresses with a port."""
    first = ipaddress.ip_network(MANY)[0]
    room = ipaddress.ip_network(MANY).num_addresses
    for port in PORTS:
        here = min(count, room)
        if here:
            for block in ipaddress.summarize_address_range(first, first + here - 1):
                yield block, port
        count -= here
    assert count == 0, "more than the server has"


class Running:
    """A program that runs until it is stopped."""

    def __init__(self, name, warm_up, command, **options):
        self.name, self.warm_up = name, warm_up
        self.process = subprocess.Popen(command, env=ENVIRONMENT, **options)
        self.pids = [self.process.pid]

    def cpu(self):
        return sum(self.seconds(Path(f"/proc/{pid}/stat").read_text()) for pid in self.pids)

    def seconds(self, stat):
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kib(self, name):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE).group(1))

    def peak_kib(self):
        return self.kib("VmHWM")

    def lags(self):
        """How late checks began, if the program says so."""

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


class Halfopend(Running):
    def __init__(self, folder, targets, interval, more):
        self.events, self.log = folder / "last-event", folder / "log"
        blocks = ", ".join(f'"{block}:{port}"' for block, port in endpoints(targets))
        needed = targets // interval
        settings = folder / "halfopend.toml"
        settings.write_text(
            f"rate = {max(10_000, needed * 3 // 2)}\n{more}[pool.all]\ntargets = [{blocks}]\n"
            f'interval = "{interval}s"\ntimeout = "{min(interval, 1.5)}s"\n'
        )
        command = [str(build.HALFOPEND), "--config", str(settings), "--events", "-"]
        warm_up = 10 + min(interval, 5) + (interval if interval > 5 else 0)
        with open(self.log, "wb") as log:
            super().__init__("**halfopend**", warm_up, command, stdout=subprocess.PIPE, stderr=log)
        # Reads everything, and keeps the last line.
        with open(self.events, "wb") as last:
            self.reader = subprocess.Popen(["tail", "-n", "1"], stdin=self.process.stdout, stdout=last)
        self.process.stdout.close()

    def lags(self):
        return read_lags()

    def stop(self, targets):
        self.end()
        self.reader.wait(timeout=60)
        log, last = self.log.read_text(), self.events.read_text()
        if f'"pool_up":{targets},' not in last:
            sys.exit(f"bench: not all of {targets} are up: {last}{log}")
        late = re.search(r"99 % (?:at most (\S+)|(more than \S+)) late", log)
        if not late:
            sys.exit(f"bench: halfopend does not say how late its checks were:\n{log}")
        return late.group(1) or late.group(2)


class Haproxy(Running):
    def __init__(self, folder, targets, interval):
        addresses = [(str(address), port) for block, port in endpoints(targets) for address in block]
        servers = [f" server s{n} {host}:{port} check inter {interval}s" for n, (host, port) in enumerate(addresses)]
        settings = folder / "haproxy.cfg"
        head = "global\n stats socket {0}/socket\ndefaults\n mode tcp\n timeout connect 2s\n timeout client 2s\n timeout server 2s\n"
        listen = "frontend none\n bind unix@{0}/none\n default_backend all\nbackend all\n"
        settings.write_text((head + listen).format(folder) + "\n".join(servers) + "\n")
        self.socket = str(folder / "socket")
        version = version_of("haproxy", "haproxy")
        super().__init__(version, 20, [shutil.which("haproxy"), "-db", "-q", "-f", str(settings)])

    def stop(self, targets):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(self.socket)
            control.sendall(b"show stat\n")
            with control.makefile() as answer:
                up = sum(",UP," in line and ",BACKEND," not in line for line in answer)
        self.end()
        if up != targets:
            sys.exit(f"bench: {up} of {targets} servers are up for HAProxy")


class Floor(Running):
    def __init__(self, _folder, targets, interval):
        # One port of each address, so fewer targets than halfopend has, at the same rate.
        count = min(targets, ipaddress.ip_network(MANY).num_addresses)
        warm_up = 5
        command = [str(build.FLOOR), CLIENT, str(ipaddress.ip_network(MANY)[0]), str(count), PORT]
        command += [str(targets // interval), str(warm_up + WINDOW + 5)]
        super().__init__("floor: the same packets in C, nothing else", warm_up, command, stdout=subprocess.DEVNULL)

    def stop(self, _targets):
        if self.process.wait(timeout=60) != 0:
            sys.exit("bench: not all checks of the floor found an open port")


@contextlib.contextmanager
def stopped(running):
    try:
        yield running
    finally:
        running.end()


def halfopend(folder, targets, interval, more=POOLS_ONLY):
    return stopped(Halfopend(folder, targets, interval, more))


def haproxy(*arguments):
    return stopped(Haproxy(*arguments))


def floor(*arguments):
    return stopped(Floor(*arguments))


def crossed():
    """How many packets have crossed the client's interface."""
    (line,) = [line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith(f"{INTERFACE}:")]
    fields = line.partition(":")[2].split()
    return int(fields[1]) + int(fields[9])


class Server:
    """Listens on PORTS at the other end of the lab, and counts the connections that it accepts. Ends with this process."""

    def __init__(self, lab):
        serve = f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r}); from measure import resident; resident.serve()"
        namespace = f"--net=/proc/{lab.server.pid}/ns/net"
        command = ["nsenter", namespace, sys.executable, "-B", "-c", serve]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "listening\n":
            sys.exit("bench: the server does not listen")

    def __enter__(self):
        return self

    def accepted(self):
        """Returns how many connections were accepted since the last call."""
        print("count", file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=5)


def serve():
    accepted = 0
    selector = selectors.DefaultSelector()
    for port in PORTS:
        listener = socket.create_server(("0.0.0.0", port), backlog=1 << 17)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print("listening", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                if not sys.stdin.readline():
                    return
                print(accepted, flush=True)
                accepted = 0
                continue
            with contextlib.suppress(BlockingIOError):
                while True:
                    key.fileobj.accept()[0].close()
                    accepted += 1
