"""What a node's process begins with, what it does, and what is left of it: its environment, its log, how it ended."""

import importlib.util
import os
import signal
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

LOG_LINES_SHOWN = 15
LOG_TAIL_BYTES = 16 * 1024


class NodeState(Enum):
    """The state of a node's process."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


def environment() -> dict[str, str]:
    """The environment in which nodes import the same raftdb as this process, from any working folder."""
    environment = dict(os.environ)
    spec = importlib.util.find_spec("raftdb")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent.parent
        # The folder of installed packages is on the path anyway, and must not come before the standard library.
        if root.name not in ("site-packages", "dist-packages"):
            paths = [str(root), *filter(None, [environment.get("PYTHONPATH")])]
            environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def node_environment(dashboard: str, token: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a node, which has the token of its pages, because everybody on a machine may read command
    lines. `settings`: others, by name."""
    return environment() | {
        "RAFTDB_DASHBOARD": dashboard,
        "RAFTDB_DASHBOARD_TOKEN": token,
        "RAFTDB_FAULT_INJECTION": "true",
        **{f"RAFTDB_{name.upper()}": value for name, value in settings.items()},
    }


def last_lines(path: Path) -> list[str]:
    """The last `LOG_LINES_SHOWN` lines of a log; none if it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(stream.seek(0, os.SEEK_END) - LOG_TAIL_BYTES, 0))
            return stream.read().decode("utf-8", "replace").splitlines()[-LOG_LINES_SHOWN:]
    except OSError:
        return []


def exit_text(code: int) -> str:
    """An exit code of `subprocess` in words; negative ones are signals."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
