"""Measures programs, from before exec until after exit."""

import gc
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path

# The descriptor that scripts/stages.c writes to, higher than any of ours.
MARKS = 100

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


@dataclass
class Contender:
    """A program to measure, and what its output must contain."""

    name: str
    command: list
    proof: str  # a pattern: each match is a right verdict, or its group is the number of them
    targets: int = 1
    every: int = 1  # runs once in this many rounds: a program that takes a hundred times as long runs less often
    tolerated: bool = False  # it may miss targets
    stages: Path = None  # scripts/stages.c as a library to preload; what it writes goes to marks
    seconds: list = field(default_factory=list)
    cpu_seconds: list = field(default_factory=list)
    found: list = field(default_factory=list)
    marks: list = field(default_factory=list)
    peak_kib: int = 0

    def wall(self):
        return statistics.median(self.seconds)

    def cpu(self):
        return statistics.median(self.cpu_seconds)


def race(contenders, rounds, copies=None):
    """Runs all of them, or copies of them, round by round, in a new order each time, and records the times."""
    for contender in contenders:
        # This is also the warm-up of page cache, neighbour table and kernel paths.
        measure_memory(contender)
    gc.disable()
    order = random.Random(1)
    for number in range(rounds):
        if copies:
            copies.turn(number)
        starters = [contender for contender in contenders if number % contender.every == 0]
        for contender in order.sample(starters, len(starters)):
            measure_time(contender, copies)


def measure_time(contender, copies):
    """Wall and processor time."""
    program, *arguments = contender.command
    command = [copies.of(program) if copies else program, *arguments]
    preload = {"LD_PRELOAD": str(contender.stages)} if contender.stages else {}
    with Output() as output:
        start = time.perf_counter_ns()
        exit_code, usage = run(command, output, preload)
        end = time.perf_counter_ns()
        contender.seconds.append((end - start) / 1e9)
        contender.cpu_seconds.append(usage.ru_utime + usage.ru_stime)
        judge(contender, exit_code, output.read())
        if contender.stages:
            contender.marks.append([start, *output.read_marks(), end])


def measure_memory(contender):
    """Largest resident set. Uses time(1), which is small: the kernel also counts the memory of a process before its exec,
    and here that would be Python's."""
    with Output() as output:
        exit_code, _ = run(["/usr/bin/time", "--format=peak resident set: %M KiB", *contender.command], output)
        said = output.read()
        judge(contender, exit_code, said)
    peak = re.search(r"peak resident set: (\d+) KiB$", said, re.MULTILINE)
    contender.peak_kib = max(contender.peak_kib, int(peak.group(1)))


def run(command, output, preload=None):
    environment = ENVIRONMENT | (preload or {})
    process = os.posix_spawn(command[0], command, environment, file_actions=output.redirections)
    _, status, usage = os.wait4(process, 0)
    return os.waitstatus_to_exitcode(status), usage


class Copies:
    """Copies of each program, used in turn. All of them are read into memory again after each turn: where the pages of a
    file happen to lie in memory makes it faster or slower for as long as they stay there."""

    NUMBER = 4

    def __init__(self, directory):
        self.directory, self.copies, self.number = directory, {}, 0

    def turn(self, number):
        self.number = number
        if number % self.NUMBER == 0:
            for copy in sum(self.copies.values(), []):
                with open(copy, "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    file.read()

    def of(self, program):
        if program not in self.copies:
            self.copies[program] = [Path(self.directory, f"{len(self.copies)}-{n}") for n in range(self.NUMBER)]
            for copy in self.copies[program]:
                shutil.copy(program, copy)
            os.sync()  # pages that are not on the disk yet cannot be dropped
        return str(self.copies[program][self.number % self.NUMBER])


class Output:
    """The output of a program, kept in memory: no pipe can fill up, and no disk is slow."""

    def __enter__(self):
        self.file = os.memfd_create("output")
        self.marks = os.memfd_create("marks")
        to = [(self.file, 1), (self.file, 2), (self.marks, MARKS)]
        self.redirections = [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in to]
        return self

    def __exit__(self, *_):
        os.close(self.file)
        os.close(self.marks)

    def read_marks(self):
        """Times that scripts/stages.c wrote, in nanoseconds of the clock that perf_counter_ns() reads."""
        return array("q", os.pread(self.marks, 4096, 0))

    def read(self):
        return os.pread(self.file, os.fstat(self.file).st_size, 0).decode(errors="replace")


def judge(contender, exit_code, said):
    """Counts the right verdicts. A missing one ends the measurement, unless that is expected."""
    right = set(re.findall(contender.proof, said, re.MULTILINE))
    found = int(right.pop()) if len(right) == 1 and next(iter(right)).isdecimal() else len(right)
    contender.found.append(found)
    if contender.tolerated and exit_code == 0:
        return
    if exit_code != 0 or found != contender.targets:
        command, said = " ".join(contender.command), said[-2000:]
        sys.exit(f"bench: {command} is right about {found} of {contender.targets} (exit {exit_code}): {said}")


def version_of(name, program):
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    return f"{name} {re.search(r'[0-9]+[.][0-9.]*[0-9]', said).group()}"


def machine():
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = found.group(1) if found else platform.machine()
    return f"Linux {platform.release().split('-')[0]}, {processor}, {os.cpu_count()} CPUs"
