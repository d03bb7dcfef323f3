"""/probe of halfopend and of blackbox_exporter, asked for the same ports."""

import http.client
import ipaddress
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from . import build
from .lab import MANY
from .program import machine, version_of
from .resident import PORTS, Running, Server, crossed, stopped

ROUNDS = 5
NEEDED = {
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "nsenter": "util-linux",
}
BENCHES = False
DAEMON = True

# Checks of each program in a round, one after the other over one connection. Each has an address of its own.
PROBES = 2000


def markdown(lab, rounds):
    with Server(lab) as server, tempfile.TemporaryDirectory() as folder:
        starts = (halfopend, blackbox)
        measured = [[measure(start, Path(folder), server) for start in starts] for _ in range(rounds)]
    ours, theirs = (summary(results) for results in zip(*measured))
    names = ("**halfopend**", version_of("blackbox_exporter", "prometheus-blackbox-exporter"))
    ratio = " | ".join(f"{other / own:.1f} ×" if own else "" for own, other in zip(ours, theirs))
    return "\n".join(
        [
            f"{PROBES:,} open ports, asked for by `/probe` one after the other, median of {rounds} alternating runs, over a veth pair on",
            f"{machine()}. CPU has the kernel's work, and that of the server at the other end of the veth pair. Time is from the",
            "question to the whole answer.",
            "",
            "| program | CPU for 1,000 checks | time, median | time, 99 % | packets per check | connections accepted per check |",
            "|---|---:|---:|---:|---:|---:|",
            *(row(name, values) for name, values in zip(names, (ours, theirs), strict=True)),
            f"| ratio | {ratio} |",
        ]
    )


def summary(results):
    return [statistics.median(values) for values in zip(*results)]


def row(name, values):
    cpu, median, slow, packets, accepted = values
    return f"| {name} | {cpu * 1e3:.0f} ms | {median * 1e6:.0f} µs | {slow * 1e6:.0f} µs | {packets:.1f} | {accepted:.2f} |"


def measure(start, folder, server):
    with start(folder) as (running, port):
        ask(port, endpoints(100, PROBES))
        server.accepted()
        cpu, packets = seconds(running), crossed()
        times = sorted(ask(port, endpoints(PROBES)))
        cpu, packets = seconds(running) - cpu, crossed() - packets
        time.sleep(0.2)  # until the last connection is closed
        accepted = server.accepted()
    return cpu * 1000 / PROBES, statistics.median(times), times[len(times) * 99 // 100], packets / PROBES, accepted / PROBES


def seconds(running):
    """The CPU time of all threads, to the nanosecond."""
    tasks = Path(f"/proc/{running.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def endpoints(count, first=0):
    network = ipaddress.ip_network(MANY)
    return [f"{network[first + number]}:{PORTS[0]}" for number in range(count)]


def ask(port, targets):
    """Asks for each target, and returns how long each took."""
    times = []
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for target in targets:
        begun = time.perf_counter()
        connection.request("GET", f"/probe?module=tcp_connect&target={target}")
        answer = connection.getresponse().read()
        times.append(time.perf_counter() - begun)
        if b"\nprobe_success 1\n" not in answer:
            sys.exit(f"bench: {target} is not open: {answer.decode()}")
    connection.close()
    return times


def halfopend(folder):
    settings = folder / "halfopend.toml"
    settings.write_text(
        # A quarter of the rate is for these checks, and each counts with all SYNs that it may send.
        f'rate = 100000\n[probe]\nallow = ["{MANY}:{PORTS[0]}"]\n[module.tcp_connect]\ntimeout = "2s"\n'
        f'[pool.self]\ntargets = ["198.18.255.255:{PORTS[1]}"]\n'
    )
    return serving("halfopend", 10115, [str(build.HALFOPEND), "--config", str(settings), "--events", str(folder / "events")], folder)


def blackbox(folder):
    settings = folder / "blackbox.yml"
    settings.write_text("modules: {tcp_connect: {prober: tcp, timeout: 2s}}\n")
    program = shutil.which("prometheus-blackbox-exporter")
    options = [f"--config.file={settings}", "--web.listen-address=127.0.0.1:9115"]
    return serving("blackbox_exporter", 9115, [program, *options], folder)


class serving:
    """A context with an exporter that answers."""

    def __init__(self, name, port, command, folder):
        self.port = port
        with open(folder / "log", "ab") as log:
            self.running = stopped(Running(name, 0, command, stderr=log))

    def __enter__(self):
        running = self.running.__enter__()
        deadline = time.monotonic() + 30
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", self.port).connect()
                return running, self.port
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    sys.exit("bench: the exporter does not listen")
                time.sleep(0.01)

    def __exit__(self, *error):
        return self.running.__exit__(*error)
