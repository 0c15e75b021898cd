"""Nodes that start as copies of a process that has loaded everything already (`tests.e2e.zygote`).

Each process that runs tests has several such zygotes, and they take turns: all copies of one iterate over sets in the
same order, and nodes of one cluster should not, or a state that depends on it would be the same everywhere.
"""

import atexit
import itertools
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

ZYGOTES = 3
"""So many that each node of a cluster of three has another order of sets."""
START_LIMIT_S = 60.0


class Process(Protocol):
    """What tests use of a node's process, be it `subprocess.Popen` or a copy."""

    pid: int

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


class ForkedProcess:
    """A copy, which is a child of its zygote. As `subprocess.Popen`, and from several threads, too."""

    def __init__(self, pid: int, report: IO[bytes]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._report = report
        """Gets the exit code as soon as the process has ended and its parent has taken notice of that."""
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one; raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        code = self._look(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(f"copy {self.pid}", timeout)
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _look(self, timeout_s: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and self._is_reported(timeout_s):
                said = self._report.read()
                self._report.close()
                assert said, f"the parent of {self.pid} has ended, and killed it"
                self.returncode = int(said)
            return self.returncode

    def _is_reported(self, timeout_s: float | None) -> bool:
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


class Zygote:
    """One process that copies itself."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(START_LIMIT_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.zygote", str(theirs.fileno())],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], output: IO[bytes]
    ) -> ForkedProcess:
        """A copy that runs `raftdb ARGUMENTS`, which reads nothing and writes to `output`."""
        request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        reading, writing = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            with self._lock:
                files = [nothing, output.fileno(), output.fileno(), writing]
                socket.send_fds(self._control, [json.dumps(request).encode()], files)
                answer = self._control.recv(64)
            assert answer, f"the zygote has ended with {self._process.wait(START_LIMIT_S)}"
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(nothing)
            os.close(writing)
        return ForkedProcess(int(answer), open(reading, "rb", buffering=0))

    def close(self) -> None:
        """End it, and with it what is left of its copies."""
        self._control.close()
        self._process.wait(START_LIMIT_S)


_zygotes: list[Zygote] = []
_turns = itertools.count()
_lock = threading.Lock()


def fork_node(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], output: IO[bytes]
) -> ForkedProcess:
    """Start `raftdb ARGUMENTS` as a copy of the zygote whose turn it is. Of the environment only variables of raftdb
    may differ from one to the next: others may have been looked at when modules were loaded."""
    with _lock:
        turn = next(_turns) % ZYGOTES
        if turn == len(_zygotes):
            others = {name: value for name, value in environment.items() if not name.startswith("RAFTDB_")}
            _zygotes.append(Zygote(folder, others))
            atexit.register(_zygotes[-1].close)
        zygote = _zygotes[turn]
    return zygote.start(arguments, folder, environment, output)
