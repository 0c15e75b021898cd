"""All that is known of a queue."""

from collections.abc import Callable
from dataclasses import dataclass

from raftdb.errors import ReplyError
from raftdb.limits import QUEUE_NAME_BYTES_MAX
from raftdb.machine.clock import read_clock
from raftdb.machine.layer import KeyValueView
from raftdb.machine.queues import line
from raftdb.machine.queues.events import read_handler
from raftdb.machine.queues.names import queue_name
from raftdb.machine.queues.records import Queue
from raftdb.machine.queues.taking import waited_for
from raftdb.machine.reply import Result, shown_key
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
)
from raftdb.machine.slots import slot_of


@dataclass(frozen=True, slots=True)
class QueueInfo(Command):
    """Read all that is known of a queue."""

    queue: bytes


def queue_info(view: KeyValueView, queue: Queue | None, command: QueueInfo) -> Result:
    """Answer names and values in turn; how many receivers wait only the leader knows, beside the log. Raises
    `ReplyError` (`not_found`) if there is no such queue."""
    if queue is None:
        raise no_such_queue(command.queue)
    settings = queue.settings
    flat: list[object] = []
    for name, value in (
        (b"visible", queue.visible + queue.coming),
        (b"delayed", queue.delayed),
        (b"in_flight", queue.in_flight),
        (b"dead", queue.dead),
        (b"bytes", queue.bytes),
        (b"oldest_ms", _oldest_ms(view, queue)),
        (b"in", queue.put),
        (b"out", queue.taken),
        (b"redelivered", queue.redelivered),
        (b"expired", queue.expired),
        (b"visibility_ms", settings.visibility_ms),
        (b"max_failures", settings.max_failures),
        (b"dead_letter", settings.dead_letter),
        (b"max_length", settings.max_length),
        (b"max_bytes", settings.max_bytes),
        (b"dedup_window_ms", settings.dedup_window_ms),
        (b"paused", settings.paused),
        (b"slot", slot_of(queue.name)),
        (b"waiting_receivers", None),
    ):
        flat += (name, value)
    return Result(flat, None)


def _with_receivers(command: QueueInfo, value: list[object], waiting: Callable[[bytes], int]) -> list[object]:
    """What is known of a queue, with the number of requests that wait for its messages."""
    return [*value[:-1], waiting(waited_for(command.queue))]


def _oldest_ms(view: KeyValueView, queue: Queue) -> int:
    """For how long the message has been visible that was so for longest, of those that can be handed out."""
    since_ms = [waiting.since_ms for waiting in line.fronts(view, queue)]
    return max(0, read_clock(view) - min(since_ms)) if since_ms else 0


def no_such_queue(name: bytes) -> ReplyError:
    """The error for a queue that must be there."""
    return ReplyError(f"there is no queue {shown_key(name)}", code="not_found")


_INFO_EXAMPLE = "\n".join(
    f"{number:>2}) {shown}"
    for number, shown in enumerate(
        (
            *('"visible"', 0, '"delayed"', 0, '"in_flight"', 0, '"dead"', 0, '"bytes"', 0, '"oldest_ms"', 0),
            *('"in"', 0, '"out"', 0, '"redelivered"', 0, '"expired"', 0),
            *('"visibility_ms"', 60000, '"max_failures"', 20, '"dead_letter"', '""', '"max_length"', 0),
            *('"max_bytes"', 0, '"dedup_window_ms"', 300000, '"paused"', 0, '"slot"', 4247),
            *('"waiting_receivers"', 0),
        ),
        start=1,
    )
)

INFO = CommandType(
    type=QueueInfo,
    number=37,
    read=read_handler(queue_info),
    beside=_with_receivers,
    names=(
        CommandSpec(
            name="qinfo",
            syntax="qinfo QUEUE",
            summary="All that is known of a queue: how many messages in which state, its counts and settings.",
            examples=(
                Example("qset mail visibility 60", "OK"),
                Example("qinfo mail", _INFO_EXAMPLE),
            ),
            key_bytes_max=QUEUE_NAME_BYTES_MAX,
            arity=Arity(1, 1),
            reply=ReplyKind.ARRAY,
            build=lambda given: QueueInfo(queue_name(given[0])),
            values=NO_ARGUMENTS,
        ),
    ),
)
