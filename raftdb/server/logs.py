"""How a node reports what it does: one line per action on stderr, for people or for machines.

All code uses `logging` and puts details into `extra={"fields": {...}}`. Values, tokens and secrets are never among
them.
"""

import json
import logging
import queue
import sys
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Any, TextIO

from raftdb.core.describe import describe_value
from raftdb.node.chronicle import LOGIN_REFUSED, Chronicle

LINES_WAITING_MAX = 20_000
"""Lines that may wait to be written: some seconds of a node under load."""
FINISH_SECONDS = 1.0
"""How long a process that ends waits for its last lines to be read."""
OF_STRANGERS = ("raftdb.frontend", "raftdb.http", "raftdb.redis", "raftdb.transport")
"""Loggers of lines that any stranger can cause by connecting, as often as it likes."""
OF_AUDIT = "raftdb.audit"
"""The logger of what users do: who logs in, is refused, and changes what."""
WHOSE_LINES_MAX = 1_000
"""So many users have a count of such lines of their own."""
OF_PEERS = ("peer up", "peer down")
"""Lines of these loggers that only members cause."""
STRANGERS_LINES_MAX = 400
"""So many such lines come at once, ..."""
STRANGERS_LINES_PER_SECOND = 2.0
"""... and so many for ever: some 30 MB a day."""
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


class Brake(logging.Filter):
    """Leaves out lines that strangers cause faster than the limits allow, so that they cannot fill the disk of the log.
    Those about users are counted apart, for each kind and user, so that nobody hides what others did.

    The next line that passes says how many were left out, as `left_out`. Errors are never left out, nor lines that the
    level `debug` shows.
    """

    def __init__(self) -> None:
        super().__init__()
        self._of_strangers = _Allowance()
        self._of_users: OrderedDict[tuple[str, str], _Allowance] = OrderedDict()
        """By kind and user, the one that was used last at the end."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if not logging.DEBUG < record.levelno < logging.ERROR:
            return True
        if record.name in OF_STRANGERS:
            return self._of_strangers.admits(record)
        return record.name != OF_AUDIT or self._allowance_of(record).admits(record)

    def _allowance_of(self, record: logging.LogRecord) -> "_Allowance":
        what, fields = record.getMessage(), getattr(record, "fields", {})
        whose = what, "" if what == LOGIN_REFUSED else str(fields.get("by") or fields.get("user") or "")
        found = self._of_users.setdefault(whose, _Allowance())
        self._of_users.move_to_end(whose)
        if len(self._of_users) > WHOSE_LINES_MAX:
            self._of_users.popitem(last=False)
        return found


class _Allowance:
    """How many lines may still be written now."""

    def __init__(self) -> None:
        self._left = float(STRANGERS_LINES_MAX)
        self._counted_s = 0.0
        self._left_out = 0

    def admits(self, record: logging.LogRecord) -> bool:
        """Whether this line may; it tells how many were left out before it."""
        passed_s = max(0.0, record.created - self._counted_s)
        self._counted_s = record.created
        self._left = min(STRANGERS_LINES_MAX, self._left + passed_s * STRANGERS_LINES_PER_SECOND)
        if self._left < 1:
            self._left_out += 1
            return False
        self._left -= 1
        if self._left_out:
            fields: dict[str, Any] = getattr(record, "fields", {})
            record.__dict__["fields"] = {**fields, "left_out": self._left_out}
            self._left_out = 0
        return True


class ChronicleHandler(logging.Handler):
    """Keeps in the chronicle what the parts beside the core log, so that people who watch see it too.

    The core's traces are there already. Of the lines that strangers can cause only those about peers are kept, which
    have proved to be members, so that no stranger pushes out what happened. What users do goes into its audit trail.
    """

    def __init__(self, chronicle: Chronicle) -> None:
        super().__init__(logging.INFO)
        self._chronicle = chronicle

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, unless it is in the chronicle already, or a stranger's."""
        what = record.getMessage()
        if getattr(record, "is_trace", False) or (record.name in OF_STRANGERS and what not in OF_PEERS):
            return
        fields: dict[str, Any] = getattr(record, "fields", {})
        kept = self._chronicle.audit if record.name == OF_AUDIT else self._chronicle
        kept.note(record.created, what, fields, record.levelname.lower())


class BackgroundHandler(logging.Handler):
    """Writes lines on a thread of its own, so that a stopped terminal, or a pipe that is not read, does not hold up the
    node.

    Lines that find the queue full are dropped, and counted in the next line that is written.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._records: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._write_lines, name="log-lines", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record, or drop it. Its line is made on the thread, too."""
        if self._records.qsize() < LINES_WAITING_MAX:
            self._records.put(record)
        else:
            self._dropped += 1

    def finish(self) -> None:
        """Let the thread write what is queued, for as long as `FINISH_SECONDS`."""
        self._records.put(None)
        self._thread.join(FINISH_SECONDS)

    def _write_lines(self) -> None:
        while (record := self._records.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            note = f"({dropped} lines were dropped: they were not read in time)\n" if dropped else ""
            try:
                self._stream.write(f"{note}{self.format(record)}\n")
                if self._records.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                continue
            except Exception:  # noqa: BLE001 - the line is lost, and the next ones are not
                self.handleError(record)
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure(*, node: str, level: str, log_format: str, heartbeats: bool) -> None:
    """Send the `raftdb` loggers to stderr. `heartbeats` shows heartbeats whatever the level."""
    handler = BackgroundHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(node) if log_format == "json" else TextFormatter(node))
    handler.addFilter(Brake())
    root = logging.getLogger("raftdb")
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    root.propagate = False
    if heartbeats:
        logging.getLogger("raftdb.node.heartbeat").setLevel(logging.DEBUG)


def keep(chronicle: Chronicle) -> None:
    """Have the lines kept in the chronicle, too."""
    logging.getLogger("raftdb").addHandler(ChronicleHandler(chronicle))


def flush() -> None:
    """Write the queued lines, if they are read. A process calls this last, when it has nothing more to log."""
    for handler in logging.getLogger("raftdb").handlers:
        if isinstance(handler, BackgroundHandler):
            handler.finish()
