"""Two network namespaces joined by a veth pair: this one, and one with a server for 65,537 addresses."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

CLIENT, SERVER, PORT = "198.19.0.1", "198.19.0.2", "80"

# The server has all of these addresses. PORT is open on each, other ports are closed.
MANY = "198.18.0.0/16"

# Packets to these addresses are never answered.
SILENT = "198.19.128.0/17"

INTERFACE = "client0"


class Lab:
    """A context with the server at the other end of a veth pair.

    Namespaces and veth pair have no names and end with their last process. The server ends when its standard input does,
    however this program ends."""

    def __enter__(self):
        serve = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import lab; lab.serve()"
        command = ["unshare", "--net", sys.executable, "-B", "-c", serve]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def join(self):
        self.expect("in its namespace")
        ip("link", "add", INTERFACE, "type", "veth", "peer", "name", "server0", "netns", str(self.server.pid))
        ip("link", "set", "lo", "up")
        ip("addr", "add", f"{CLIENT}/24", "dev", INTERFACE)
        ip("link", "set", INTERFACE, "up")
        ip("route", "add", MANY, "via", SERVER)
        ip("route", "add", SILENT, "via", SERVER)
        print(mac_address(INTERFACE), file=self.server.stdin, flush=True)
        self.expect("listening at ")

    def expect(self, said):
        line = self.server.stdout.readline()
        if not line.startswith(said):
            sys.exit(f"bench: the server said {line!r} instead of {said!r}")
        self.server_mac = line.removeprefix(said).strip()

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait(timeout=5)


# An address that no host has. masscan sends from it, because the kernel would reset connections of its own addresses.
NOBODY = "198.19.0.77"


def serve():
    """The server of the lab: accepts every connection and closes it, until standard input ends."""
    print("in its namespace", flush=True)
    client_mac = sys.stdin.readline().strip()
    if not client_mac:
        sys.exit(1)
    ip("addr", "add", f"{SERVER}/24", "dev", "server0")
    ip("link", "set", "lo", "up")
    ip("link", "set", "server0", "up")
    ip("route", "add", "local", MANY, "dev", "lo")
    ip("neigh", "add", NOBODY, "lladdr", client_mac, "dev", "server0")
    room = 1 << 17
    for limit in ("core/somaxconn", "ipv4/tcp_max_syn_backlog"):
        Path("/proc/sys/net", limit).write_text(str(room))
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    listener = socket.create_server(("0.0.0.0", int(PORT)), backlog=room)

    def take():
        while True:
            listener.accept()[0].close()

    threading.Thread(target=take, daemon=True).start()
    print("listening at", mac_address("server0"), flush=True)
    sys.stdin.read()


def mac_address(interface):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as any_packet:
        any_packet.bind((interface, 0))
        return any_packet.getsockname()[4].hex(":")


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)
