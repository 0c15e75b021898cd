"""Telling people what a node does, one line per action: the actions of a busy node are told as ranges.

Each batch of writes is appended, committed and applied. Told one by one, that took a third of the event loop of a
leader under load. So what goes on where the last action of its kind ended is told together with it, once per tick at
the latest, and before any other action of the core or the replica: these lines stand in the order in which things
happened, and no index is left out.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from raftdb.core.update import Trace

logger = logging.getLogger("raftdb.node")

LEVELS = {
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "warning": logging.WARNING,
    "heartbeat": logging.DEBUG,
}
HEARTBEAT_LOGGER = logging.getLogger("raftdb.node.heartbeat")
"""Heartbeats have a logger of their own, so that they can be shown or hidden separately."""


OF_CORE = {"is_trace": True}
"""Marks the lines that were made of traces."""


class Range(NamedTuple):
    """The details of an action that say where it begins (None: where the last one ended) and where it ends."""

    first: str | None
    last: str


RANGES = {
    "appended": Range("first_index", "last_index"),
    "committed": Range(None, "commit_index"),
    "applied": Range("first_index", "applied_index"),
}
"""The actions that are told as ranges, all of them at the level `info`."""


class Telling:
    """Writes traces as lines of the log. `finish` is to be called once per tick, and when the node stops."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Any]] = {}
        """The ranges that are not told yet, by their events, in the order in which they began."""

    def tell(self, traces: Sequence[Trace]) -> None:
        """Tell these, but keep ranges back that may go on."""
        for trace in traces:
            target = _logger_of(trace.level)
            if not target.isEnabledFor(LEVELS[trace.level]):
                continue
            if trace.event in RANGES:
                self._extend(trace)
            else:
                self.finish()
                target.log(LEVELS[trace.level], trace.event, extra={"fields": dict(trace.details), **OF_CORE})

    def finish(self) -> None:
        """Tell what was kept back."""
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            for event, details in waiting.items():
                logger.info(event, extra={"fields": details, **OF_CORE})

    def _extend(self, trace: Trace) -> None:
        """Let the range of this kind go on; if this one does not follow it, what was kept back is told first."""
        details = dict(trace.details)
        waiting = self._waiting.get(trace.event)
        if waiting is not None:
            first, last = RANGES[trace.event]
            if not _follows(details, waiting, first, last):
                self.finish()
            elif first is not None:
                details[first] = waiting[first]
        self._waiting[trace.event] = details


def _follows(details: dict[str, Any], waiting: dict[str, Any], first: str | None, last: str) -> bool:
    """Whether an action goes on where the one that waits has ended, in the same term."""
    if first is None:
        return True
    return details[first] == waiting[last] + 1 and details.get("term") == waiting.get("term")


def _logger_of(level: str) -> logging.Logger:
    return HEARTBEAT_LOGGER if level == "heartbeat" else logger
