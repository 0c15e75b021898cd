"""How a node tells what it does: one line per action on stderr, for people or for machines.

Whoever has something to say uses `logging` and puts details into `extra={"fields": {...}}`. Values, tokens and
secrets are never among them.
"""

import json
import logging
import sys
import time
from typing import Any

from raftdb.core.describe import describe_value

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class TextFormatter(logging.Formatter):
    """`time level node message key=value ...`"""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """One line, but for a traceback of an internal error."""
        seconds = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields: dict[str, Any] = getattr(record, "fields", {})
        details = "".join(
            f" {name}={describe_value(value)}" for name, value in fields.items() if value is not None
        )
        level = record.levelname.lower()
        line = f"{seconds}.{int(record.msecs):03} {level:<7} {self._node} {record.getMessage()}{details}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (seconds since the epoch), level, node, message and the details."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """One object on one line."""
        line: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "node": self._node,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(*, node: str, level: str, log_format: str, heartbeats: bool) -> None:
    """Send the `raftdb` loggers to stderr. `heartbeats` shows heartbeats whatever the level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(node) if log_format == "json" else TextFormatter(node))
    root = logging.getLogger("raftdb")
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    root.propagate = False
    if heartbeats:
        logging.getLogger("raftdb.node.heartbeat").setLevel(logging.DEBUG)
