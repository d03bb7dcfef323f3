"""Instructions per target in the pure Checker: benches/checker.rs under callgrind, so every run has the same result."""

import re
import subprocess
import sys
import tempfile

from . import build

ROUNDS = 1
NEEDED = {"valgrind": "valgrind"}
BENCHES = True
DAEMON = False
TARGETS = 100_000
NETWORKS = ("open", "closed", "silent")

# The functions that the loop calls. None of them calls another.
INTERFACE = (
    "new|admit|cancel|pending|handle_timeout|poll_waited_for|due|has_repeats|poll_attempt|syn|sent|on_send_error|postpone"
    "|handle|poll_reset|poll_outcome|poll_timeout|stop|discarded"
)


def markdown(_lab, _rounds):
    return "\n".join(
        [
            f"Instructions per target, {TARGETS:,} targets, three attempts, over a simulated network (valgrind --tool=callgrind):",
            "",
            "| targets are | in the Checker | with loop, pacer and simulation |",
            "|---|---:|---:|",
            *(f"| {network} | {inside:,.0f} | {total:,.0f} |" for network, inside, total in map(counted, NETWORKS)),
        ]
    )


def counted(network):
    with tempfile.NamedTemporaryFile(prefix="callgrind-") as counts:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts.name}"]
        command += [str(build.CHECKER), network, str(TARGETS)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: {' '.join(command)} failed:\n{done.stderr}")
        annotate = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", counts.name]
        said = subprocess.run(annotate, check=True, capture_output=True, text=True).stdout
    costs = re.findall(rf"^ *([\d,]+) .*:halfopen::checker::Checker::(?:{INTERFACE})(?: |$)", said, re.MULTILINE)
    total = re.search(r"^ *([\d,]+) .*PROGRAM TOTALS", said, re.MULTILINE)
    if not costs or not total:
        sys.exit(f"bench: callgrind_annotate names no function of the Checker:\n{said[:2000]}")
    return network, sum(map(number, costs)) / TARGETS, number(total.group(1)) / TARGETS


def number(text):
    return int(text.replace(",", ""))
