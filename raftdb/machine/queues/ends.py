"""What queues have to do at a time, for the sweeper: one index for all, and three kinds of ends in it.

* An *alarm* of a queue: some messages may have to change their state (`events`). A queue has one alarm at most, however
  many messages it has, and it may come too early: it is not moved when a message is acknowledged in time. Then nothing
  happens but that it is set anew.
* A DEDUP id whose window is over.
* Dead messages that are to be moved (`redriving`), a bounded number by an entry.
"""

from raftdb.machine.clock import read_clock
from raftdb.machine.deadlines import DeadlineIndex
from raftdb.machine.keyspace import (
    BODY_PREFIX,
    DEDUP_PREFIX,
    EVENT_PREFIX,
    GROUP_HEAD_PREFIX,
    GROUP_MEMBER_PREFIX,
    LINE_PREFIX,
    MESSAGE_PREFIX,
    QUEUE_END_PREFIX,
    QUEUE_SWEPT_KEY,
    UNIQUE_FIRST_PREFIX,
    UNIQUE_MEMBER_PREFIX,
    pack_number,
)
from raftdb.machine.layer import Layer
from raftdb.machine.queues.records import NEVER, Queue
from raftdb.machine.sweeping import abandon

ENDS = DeadlineIndex(QUEUE_END_PREFIX, QUEUE_SWEPT_KEY)
"""The index. A name begins with its kind."""

ALARM = b"a"
DEDUP = b"d"
REDRIVE = b"s"

_NUMBERED = (
    GROUP_MEMBER_PREFIX,
    GROUP_HEAD_PREFIX,
    UNIQUE_FIRST_PREFIX,
    UNIQUE_MEMBER_PREFIX,
    DEDUP_PREFIX,
    BODY_PREFIX,
    MESSAGE_PREFIX,
    LINE_PREFIX,
    EVENT_PREFIX,
)
"""The prefixes of all keys that have a number of a queue behind them."""


def set_alarm(layer: Layer, queue: Queue, event_ms: int) -> None:
    """Let the sweeper come when this event is due, if it would come later."""
    at_ms = max(event_ms, read_clock(layer))
    if queue.alarm_ms != NEVER and queue.alarm_ms <= at_ms:
        return
    lift_alarm(layer, queue)
    queue.alarm_ms = at_ms
    ENDS.set(layer, at_ms, ALARM + queue.name)


def lift_alarm(layer: Layer, queue: Queue) -> None:
    """Let the sweeper not come."""
    if queue.alarm_ms != NEVER:
        ENDS.lift(layer, queue.alarm_ms, ALARM + queue.name)
        queue.alarm_ms = NEVER


def remove_range(layer: Layer, number: int) -> None:
    """Remove all keys with this number of a queue, to which nothing leads any more, step by step."""
    for prefix in _NUMBERED:
        first = prefix + pack_number(number)
        abandon(layer, first, first, prefix + pack_number(number + 1))
