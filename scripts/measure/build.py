"""Builds the programs to measure, and checks for what they need."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()
HALFOPEN, FLOOR, CHECKER = TARGET / "release/halfopen", TARGET / "floor", TARGET / "checker"
HALFOPEND = TARGET / "release/halfopend"
EMPTY, BURST, STAGES = TARGET / "empty", TARGET / "burst", TARGET / "stages.so"
UNCONFINED = TARGET / "unconfined/release/halfopen"

# Program → the Debian package that has it.
ALWAYS_NEEDED = {
    "cargo": "rustup",
    "cc": "gcc",
    "ip": "iproute2",
    "unshare": "util-linux",
    "/usr/bin/time": "time",
}


def all_of(sections):
    needed = dict(ALWAYS_NEEDED)
    for section in sections:
        needed |= section.NEEDED
    missing = [f"{package} ({program})" for program, package in needed.items() if not shutil.which(program)]
    if missing:
        sys.exit("bench: missing: " + ", ".join(missing))
    build = ["cargo", "build", "--release", "--locked", "--quiet"]
    subprocess.run(build, cwd=ROOT, check=True)
    subprocess.run([*build, "--no-default-features", "--features", "cli", "--target-dir", TARGET / "unconfined"], cwd=ROOT, check=True)
    subprocess.run(["cc", "-O2", "-o", FLOOR, ROOT / "scripts/floor.c"], check=True)
    subprocess.run(["cc", "-O2", "-o", BURST, ROOT / "scripts/burst.c"], check=True)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", STAGES, ROOT / "scripts/stages.c"], check=True)
    subprocess.run(["cc", "-O2", "-x", "c", "-o", EMPTY, "-"], input=b"int main(void) { return 0; }", check=True)
    if any(section.BENCHES for section in sections):
        checker()
    if any(section.DAEMON for section in sections):
        subprocess.run([*build, "--package", "halfopend"], cwd=ROOT, check=True)


def checker():
    """The microbenchmark: with symbols, and without optimisation across crates, so that the Checker's functions are
    distinct from their callers. Cargo builds the programs in the same way, so they have a folder of their own."""
    profile = {"CARGO_PROFILE_BENCH_STRIP": "none", "CARGO_PROFILE_BENCH_LTO": "off"}
    command = ["cargo", "bench", "--bench", "checker", "--no-run", "--locked", "--quiet", "--message-format=json"]
    command += ["--target-dir", TARGET / "microbenchmark"]
    environment = os.environ | profile
    built = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    (made,) = [m["executable"] for m in messages if m.get("target", {}).get("kind") == ["bench"]]
    shutil.copy(made, CHECKER)
