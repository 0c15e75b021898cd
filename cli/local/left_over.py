"""Ending nodes that outlived the `raftdb up` that started them, because it was killed. The next `up` does it first.

Their process ids are in the folder. The system uses ids again, so a process counts as such a node only if its command
line names this data folder. They are not taken over, because the new `up` would not be told of their end, and their
output goes to the terminal or file of the old one.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.console.failures import EXIT_FAILED, EXIT_FOLDER, CommandError, reason
from cli.local.folder import LocalFolder, NodePlace

STOP_TIMEOUT_S = 12.0
"""A node stops cleanly within 10 s (docs/interface.md, section 2); after this time it is killed."""
KILL_TIMEOUT_S = 10.0
"""Longest wait for the end of a killed process, which only a disk that hangs can delay so long."""
POLL_S = 0.05


def find(folder: LocalFolder, nodes: Sequence[NodePlace]) -> dict[str, int]:
    """The nodes of `folder` that run, in order, and their process ids."""
    found = {node.id: _process_of(folder, node.id) for node in nodes}
    return {node_id: pid for node_id, pid in found.items() if pid is not None}


def end(folder: LocalFolder, nodes: Sequence[NodePlace], tell: Callable[[str], None]) -> None:
    """Stop the nodes that run, cleanly if possible. `tell` gets a line about them. Raises `CommandError` if that
    fails."""
    running = find(folder, nodes)
    if not running:
        return
    names = ", ".join(f"{node_id} (pid {pid})" for node_id, pid in running.items())
    tell(f"still running since another 'raftdb up' was killed, and stopped now: {names}")
    for node_id, pid in running.items():
        # A paused process handles SIGTERM only once it goes on, and in this order before anything else.
        for number in (signal.SIGTERM, signal.SIGCONT):
            _send(node_id, pid, number)
    if _wait(folder, nodes, STOP_TIMEOUT_S):
        return
    for node_id, pid in find(folder, nodes).items():
        _send(node_id, pid, signal.SIGKILL)
    if not _wait(folder, nodes, KILL_TIMEOUT_S):
        left = ", ".join(f"{node_id} (pid {pid})" for node_id, pid in find(folder, nodes).items())
        raise CommandError("up", f"cannot be ended: {left}", exit_code=EXIT_FOLDER)


def _wait(folder: LocalFolder, nodes: Sequence[NodePlace], timeout_s: float) -> bool:
    """Whether all nodes end within the time."""
    deadline = time.monotonic() + timeout_s
    while find(folder, nodes):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _send(node_id: str, pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except OSError as error:
        raise CommandError(
            "up",
            f"node {node_id} still runs (pid {pid}) and cannot be stopped: {reason(error)}",
            exit_code=EXIT_FAILED,
            hint=f"stop it as the user who started it: kill {pid}",
        ) from error


def _process_of(folder: LocalFolder, node_id: str) -> int | None:
    """The process id that is written down for a node, if that process is alive and serves this data folder; else
    None."""
    pid = folder.noted_pid(node_id)
    if pid is None:
        return None
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        working_folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError:  # it has ended, or is another user's
        return None
    if b"serve" not in words or b"--data" not in words[:-1]:
        return None
    data = os.fsdecode(words[words.index(b"--data") + 1])
    served = os.path.realpath(os.path.join(working_folder, data))
    return pid if served == os.path.realpath(folder.data_path(node_id)) else None
