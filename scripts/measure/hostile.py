"""halfopend under hostile clients: does a check begin late, does memory grow, are others answered?"""

import base64
import contextlib
import resource
import selectors
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import build, resident
from .lab import CLIENT
from .metrics import lags_in, percentile
from .program import ENVIRONMENT, machine

ROUNDS = 1
NEEDED = {"nsenter": "util-linux", "nice": "coreutils", "openssl": "openssl"}
BENCHES = False
DAEMON = True

# A thousand checks begin each second.
TARGETS, INTERVAL = 1000, 1
PORT = 10115

# How long each attack lasts, and how long before it is measured.
WINDOW, BEFORE = 12, 2

# The user "alice" with the password "right".
USERS = "basic_auth_users:\n  alice: $2b$10$abcdefghijklmnopqrstuu1VS0P7v3ZJmd2gzBFIzgfN7OOl6Rl52\n"
PASSWORD = "alice:right"
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"

HEAD = b"GET /metrics HTTP/1.1\r\nHost: a\r\n"
TRICKS = [
    b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/config%00", b"//metrics", b"/-/healthy%0d%0aSet-Cookie:%20a=b",
    b"/?q=%ff%00<script>alert(1)</script>", b"/?pool=" + b"a" * 8000, b"/?limit=18446744073709551616", b"/?offset=99999999",
    b"http://elsewhere/metrics", b"/api/v1/targets?history=true", b"/",
]  # fmt: skip


@dataclass
class Crowd:
    """The number of connections at a time, what is sent on each at first, and what is sent repeatedly."""

    count: int
    first: bytes = b""
    more: bytes = b""
    pause: float = 1.0  # seconds between two repetitions
    sends_no_more: bool = False  # is half closed
    reads: bool = True


ATTACKS = {
    "slow headers": Crowd(1000, HEAD + b"X: ", b"a"),
    "slow bodies": Crowd(1000, b"POST /-/healthy HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n", b"a"),
    "huge headers": Crowd(200, HEAD + b"X: ", b"a" * 65536, 0.01),
    "10,000 connections": Crowd(10_000, HEAD),
    "half-closed connections": Crowd(1000, HEAD + b"X: ", sends_no_more=True),
    "clients that do not read": Crowd(300, (HEAD + b"\r\n") * 300, HEAD + b"\r\n", reads=False),
    "tricks with paths and headers": Crowd(
        64, b"", b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n" % path for path in TRICKS), 0.02
    ),
    "reloads": Crowd(16, b"", b"POST /-/reload HTTP/1.1\r\nHost: a\r\n\r\n", 0.05),
}
ATTACKS_ON_TLS = {
    "TLS garbage": Crowd(1000, b"\x16\x03\x01\xff\xff" + b"\x01" * 4000, b"\xff" * 4000, 0.2),
    "no ClientHello": Crowd(1000),
    "handshakes": None,
    "wrong passwords": None,
}


def markdown(lab, rounds):
    rows = []
    with resident.Server(lab):
        for _ in range(rounds):
            for attacks, secure in ((ATTACKS, False), (ATTACKS_ON_TLS, True)):
                with tempfile.TemporaryDirectory() as folder, resident.stopped(Daemon(Path(folder), secure)) as running:
                    time.sleep(10)
                    with_tls = " (TLS)" if secure else ""
                    for name in ["none" + with_tls, *attacks, "none afterwards" + with_tls]:
                        rows.append(measure(lab, running, name, secure))
                        print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join(
        [
            f"halfopend checks {TARGETS:,} targets every {INTERVAL} s while clients from another host attack its HTTP server, on",
            f"{machine()}. The attackers have the lowest priority, as they share the processors. Late: by how much checks",
            "began after they were due, at most. Answer: the longest time that another client waited for `/-/healthy`.",
            "",
            "| attack | checks | 99 % late | all late | memory | CPU of a core | answer |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *rows,
        ]
    )


class Daemon(resident.Running):
    def __init__(self, folder, secure):
        blocks = ", ".join(f'"{block}:{port}"' for block, port in resident.endpoints(TARGETS))
        settings = folder / "halfopend.toml"
        settings.write_text(f'[pool.all]\ntargets = [{blocks}]\ninterval = "{INTERVAL}s"\ntimeout = "500ms"\n')
        command = [str(build.HALFOPEND), "--config", str(settings), "--events", "/dev/null"]
        command += ["--listen", f"127.0.0.1:{PORT}", "--listen", f"{CLIENT}:{PORT}"]
        if secure:
            request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            request += ["-subj", "/CN=a"]
            files = ["-keyout", folder / "server.key", "-out", folder / "server.crt"]
            subprocess.run(request + files, check=True, stderr=subprocess.DEVNULL)
            (folder / "web.yml").write_text(TLS + USERS)
            command += ["--web-config", str(folder / "web.yml")]
        with open(folder / "log", "wb") as log:
            super().__init__("halfopend", 0, command, stderr=log)
        self.secure = secure

    def ask(self, path):
        """Asks as a client on its own machine, and returns the answer."""
        scheme = "https" if self.secure else "http"
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{PORT}{path}")
        if self.secure:
            request.add_header("Authorization", "Basic " + base64.b64encode(PASSWORD.encode()).decode())
        with urllib.request.urlopen(request, timeout=30, context=anybody()) as answer:
            return answer.read().decode()

    def lags(self):
        return lags_in(self.ask("/metrics"))


def measure(lab, running, name, secure):
    attacker = None
    if not name.startswith("none"):
        attacker = begin(lab, name)
        time.sleep(BEFORE)
    before, cpu, begun = running.lags(), running.cpu(), time.monotonic()
    peak, longest = 0, 0.0
    while time.monotonic() < begun + WINDOW:
        asked = time.monotonic()
        running.ask("/-/healthy")
        longest = max(longest, time.monotonic() - asked)
        peak = max(peak, running.kib("VmRSS"))
        time.sleep(0.2)
    cpu = (running.cpu() - cpu) / (time.monotonic() - begun)
    time.sleep(1.1)  # until the newest are published
    after = running.lags()
    if attacker:
        attacker.terminate()
        attacker.wait(timeout=30)
    checks = after[float("inf")] - before[float("inf")]
    late = [f"{percentile(percentage, before, after) * 1e3:g} ms" for percentage in (99, 100)]
    return f"| {name} | {checks:,} | {late[0]} | {late[1]} | {peak / 1024:.1f} MiB | {cpu:.1%} | {longest * 1e3:.0f} ms |"


def begin(lab, name):
    folder = str(Path(__file__).parent.parent)
    attack = f"import sys; sys.path.insert(0, {folder!r}); from measure import hostile; hostile.attack({name!r})"
    command = ["nsenter", f"--net=/proc/{lab.server.pid}/ns/net", "nice", "-n", "19", sys.executable, "-B", "-c", attack]
    return subprocess.Popen(command, env=ENVIRONMENT)


def attack(name):
    """Attacks for as long as the window, and a little longer."""
    until = time.monotonic() + BEFORE + WINDOW + 10
    crowd = (ATTACKS | ATTACKS_ON_TLS)[name]
    if crowd:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
        press(crowd, until)
    else:
        threads = [threading.Thread(target=repeat, args=(name, number, until)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def press(crowd, until):
    """Keeps all of the connections open, and opens those again that are closed."""
    selector, sent = selectors.DefaultSelector(), {}
    while time.monotonic() < until:
        for _ in range(min(500, crowd.count - len(sent))):
            connection = socket.socket()
            if not crowd.reads:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.setblocking(False)
            connection.connect_ex((CLIENT, PORT))
            selector.register(connection, selectors.EVENT_WRITE)
            sent[connection] = None
        for key, _ in selector.select(0.05):
            if not serve(crowd, key.fileobj, sent, selector):
                selector.unregister(key.fileobj)
                key.fileobj.close()
                del sent[key.fileobj]
        now = time.monotonic()
        for connection, at in sent.items():
            if crowd.more and at is not None and now >= at + crowd.pause:
                sent[connection] = now
                with contextlib.suppress(OSError):
                    connection.send(crowd.more)


def serve(crowd, connection, sent, selector):
    """Sends at first, and reads later. Returns false if the connection is over."""
    try:
        if sent[connection] is None:
            connection.send(crowd.first)
            if crowd.sends_no_more:
                connection.shutdown(socket.SHUT_WR)
            sent[connection] = time.monotonic()
            if crowd.reads:
                selector.modify(connection, selectors.EVENT_READ)
            else:
                selector.unregister(connection)
            return True
        return bool(connection.recv(1 << 16))
    except BlockingIOError:
        return True
    except OSError:
        return False


def repeat(name, number, until):
    """Makes handshakes, or sends wrong passwords, one after the other."""
    guess = base64.b64encode(f"alice:{number}".encode()).decode()
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((CLIENT, PORT), timeout=30) as plain:
            with anybody().wrap_socket(plain) as connection:
                if name == "wrong passwords":
                    connection.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {guess}\r\n\r\n".encode())
                    connection.recv(1 << 16)


def anybody():
    """Trusts every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
