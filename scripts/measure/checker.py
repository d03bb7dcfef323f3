"""Instructions a target in the pure Checker: benches/checker.rs, counted by callgrind, so every run says the same."""

import re
import subprocess
import sys
import tempfile

from . import build

ROUNDS = 1
NEEDED = {"valgrind": "valgrind"}
BENCHES = True
TARGETS = 100_000
NETWORKS = ("open", "closed", "silent")

# What the loop calls; none of them calls another one.
INTERFACE = (
    "new|admit|pending|expire|has_due|poll_try|syn|sent|refused|postpone|handle|poll_reset|poll_outcome|next_deadline|stop|ignored"
)


def markdown(_lab, _rounds):
    return "\n".join(
        [
            f"Instructions a target, {TARGETS:,} targets, three tries, over a simulated network (valgrind --tool=callgrind):",
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
