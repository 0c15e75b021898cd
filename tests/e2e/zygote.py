"""A process that has loaded all of a node's modules, and copies itself for each node that a test starts.

Loading is most of what a start costs, and hundreds of nodes start here. A copy does what `python -m raftdb` does, from
`raftdb/__main__.py` on to the end of the interpreter: its arguments, environment, working folder and standard streams
are its own before the first line of that runs. What it has of its parent is what every process of that version would
have loaded for itself: one thread, no file but the standard streams, and modules that know nothing of this process.
(`random` begins anew in a copy, and OpenSSL, too. The order of sets is that of the parent: see `tests.e2e.forked`.)

The process that asks is `tests.e2e.forked`. When it ends, or this one does, all copies are killed.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

NODE_MODULES = (
    "cli.main",
    "cli.subcommands.serve",
    "raftdb.packages",
    "raftdb.server.bootstrap",
    "raftdb.server.config",
    "raftdb.streams",
)
"""What a node loads, and not `raftdb.__main__`, which runs anew."""
REQUEST_BYTES_MAX = 1 << 20
PR_SET_PDEATHSIG = 1
"""The number in <sys/prctl.h>."""


@dataclass(frozen=True)
class Start:
    """What a copy is to be: its standard streams are open files; the first argument follows `raftdb`."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    streams: list[int]


def load() -> None:
    """Import what a node imports, and see that this is all: neither a thread nor an open file came with it."""
    gc.disable()
    for name in NODE_MODULES:
        importlib.import_module(name)
    # What all have in common is not looked through again in each, which would copy it.
    gc.freeze()
    gc.enable()
    assert threading.active_count() == 1, threading.enumerate()
    assert len(os.listdir("/proc/self/task")) == 1, "a library has started a thread"


def copies(control: socket.socket) -> Start | None:
    """Make copies for as long as somebody asks. Returns in the copy, and None in the original once nobody asks."""
    reports: dict[int, tuple[int, int]] = {}
    """For each copy that runs, by the descriptor that tells of its end: its process, and where its end is reported."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in reports:
                poll.unregister(descriptor)
                _report(descriptor, *reports.pop(descriptor))
                continue
            request, files, _, _ = socket.recv_fds(control, REQUEST_BYTES_MAX, 4)
            if not request:
                return None
            *streams, report = files
            process = os.fork()
            if process == 0:
                return Start(**json.loads(request), streams=streams)
            for stream in streams:
                os.close(stream)
            watch = os.pidfd_open(process)
            reports[watch] = (process, report)
            poll.register(watch, select.POLLIN)
            control.send(b"%d" % process)


def _report(watch: int, process: int, report: int) -> None:
    """Say how a copy has ended, once nothing of it is left."""
    _, status = os.waitpid(process, 0)
    with suppress(BrokenPipeError):  # nobody asks any more
        os.write(report, b"%d" % os.waitstatus_to_exitcode(status))
    os.close(report)
    os.close(watch)


def become(start: Start, interrupted: Any) -> None:
    """Make of this copy what the system would have made of a new process; `interrupted` is what it does at Ctrl-C."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, interrupted)
    for number, stream in enumerate(start.streams):
        os.dup2(stream, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):  # the one that made the list
                os.close(int(name))
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environment)
    sys.argv = ["raftdb", *start.arguments]


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    opened = os.listdir("/proc/self/fd")
    # Ctrl-C at the terminal is for tests and nodes; this process ends after them.
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    load()
    assert os.listdir("/proc/self/fd") == opened, "a module has left a file open"
    start = copies(control)
    control.detach()
    if start is not None:
        become(start, interrupted)
        runpy.run_module("raftdb", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
