"""Profiles: py-spy's samples of a process, summed by function and by module."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

SAMPLES_PER_S = 200
FUNCTIONS_SHOWN = 30
PARTS_SHOWN = 16
NAME_SHOWN = 62


def sampler() -> str | None:
    """The path of py-spy, beside this Python or on the path; None if it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def start(pid: int, *, seconds: float, output: Path) -> subprocess.Popen[bytes]:
    """Begin to sample the Python threads of `pid` that are not idle."""
    program = sampler()
    assert program is not None, "look with sampler() before"
    command = [program, "record", "--pid", str(pid), "--duration", str(int(seconds)), "--threads"]
    command += ["--rate", str(SAMPLES_PER_S), "--format", "raw", "--output", str(output), "--nonblocking"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def report(collapsed: str) -> str:
    """The tables from py-spy's raw format, which has a line for each stack, `thread;outermost;...;innermost COUNT`."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    samples = 0
    for line in collapsed.splitlines():
        stack, _, text = line.rpartition(" ")
        count = int(text)
        thread, *frames = stack.split(";")
        if not frames:
            continue
        samples += count
        threads[thread.partition(" ")[0] if thread.startswith("process") else thread] += count
        functions = [_function(frame) for frame in frames]
        own[functions[-1]] += count
        for function in set(functions):
            total[function] += count
        parts[_part(frames)] += count
    if not samples:
        return "no samples\n"
    return "\n".join(
        [
            f"{samples} samples of busy threads, {SAMPLES_PER_S}/s",
            *_table("by thread", threads, samples, PARTS_SHOWN),
            *_table("by part: the innermost file of ours on the stack", parts, samples, PARTS_SHOWN),
            *_table("by function, alone", own, samples, FUNCTIONS_SHOWN),
            *_table("by function, with what it calls", total, samples, FUNCTIONS_SHOWN),
            "",
        ]
    )


def _table(title: str, counts: Counter[str], samples: int, shown: int) -> list[str]:
    rows = [
        f"{100 * count / samples:6.1f} %  {name[:NAME_SHOWN]}" for name, count in counts.most_common(shown)
    ]
    return ["", title, *rows]


def _function(frame: str) -> str:
    """`name (path:line)` without the line, and with a short path."""
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    return f"{name} ({_short(path)})"


def _short(path: str) -> str:
    _, marker, rest = path.rpartition("site-packages/")
    return rest if marker else "/".join(path.split("/")[-3:])


def _part(frames: list[str]) -> str:
    for frame in reversed(frames):
        path = frame.partition(" (")[2]
        for package in ("raftdb/", "storage/"):
            position = path.rfind(package)
            if position >= 0 and "site-packages" not in path:
                return path[position:].rpartition(":")[0]
    return "outside: event loop, libraries"
