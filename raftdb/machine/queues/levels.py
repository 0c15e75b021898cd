"""How full all queues are, page by page: for those who watch a node, which must not be held up by ten thousand queues.

The numbers are those of the records as the last entry left them: what is due by the clock alone, and was not looked
after yet, counts where it was.
"""

from dataclasses import dataclass
from typing import NamedTuple

from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import QUEUE_PREFIX
from raftdb.machine.layer import KeyValueView
from raftdb.machine.queues import line
from raftdb.machine.queues.records import load_queue
from raftdb.machine.reply import Result
from raftdb.machine.scanning import page_behind
from raftdb.machine.service import Query


class QueueLevel(NamedTuple):
    """How many messages of a queue are in which state, and for how long the one is visible that is so for longest, of
    those that can be handed out (0 if there is none)."""

    name: bytes
    visible: int
    in_flight: int
    dead: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class ReadQueueLevels(Query):
    """Read the levels of up to `limit` queues whose names come after `after` (None: from the first), in order."""

    after: bytes | None
    limit: int


def read_queue_levels(view: KeyValueView, query: ReadQueueLevels) -> Result:
    """Answer a list of `QueueLevel`; one that is shorter than `limit` is the last."""
    clock_ms = read_clock(view)
    levels: list[QueueLevel] = []
    for name, _ in page_behind(view, QUEUE_PREFIX, query.after, query.limit, length=0):
        queue = load_queue(view, name)
        if queue is None:
            continue
        since_ms = min((waiting.since_ms for waiting in line.fronts(view, queue)), default=clock_ms)
        levels.append(
            QueueLevel(
                queue.name,
                queue.visible + queue.coming,
                queue.in_flight,
                queue.dead,
                max(0, clock_ms - since_ms),
            )
        )
    return Result(levels, None)
