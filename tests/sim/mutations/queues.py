"""Planted bugs of queues: deliveries, groups, dead letters, and what is found again."""

from typing import Any

from raftdb.machine.clock import read_clock
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues import deliveries, events, groups, line, managing, messages, repetitions
from raftdb.machine.queues.deliveries import Ack
from raftdb.machine.queues.records import Message, Queue, State, load_message, read_receipt
from raftdb.machine.services import GUARDS
from raftdb.simulation.planting import Patches
from tests.sim.mutations.data import on_its_own_clock
from tests.sim.mutations.planting import Mutation


def older_receipts_count() -> Patches:
    """A receipt names a message, and not one of its deliveries."""

    def held(view: KeyValueView, queue: Queue | None, receipt: bytes) -> Message | None:
        named = read_receipt(receipt)
        message = None if queue is None or named is None else load_message(view, queue.filling, named[0])
        return message if message is not None and message.state is State.IN_FLIGHT else None

    return [(deliveries, "_held", held)]


def deliveries_never_end() -> Patches:
    """Nobody looks whether a delivery is over."""
    plain = events._happen

    def happen(layer: Layer, queue: Queue, message: Message, index: int) -> int:
        return 0 if message.state is State.IN_FLIGHT else plain(layer, queue, message, index)

    return [(events, "_happen", happen)]


def groups_are_not_kept() -> Patches:
    return [(groups, "is_head", lambda view, queue, message: True)]


def dead_letters_are_lost() -> Patches:
    """A message that is to go to another queue is removed here, and not put there."""
    plain = messages.bury

    def bury(layer: Layer, queue: Queue, message: Message, index: int) -> int:
        if not queue.settings.dead_letter:
            return plain(layer, queue, message, index)
        messages.remove(layer, queue, message)
        return 0

    return [(messages, "bury", bury)]


def transactions_rely_on_what_is_over() -> Patches:
    return [(GUARDS, Ack, lambda view, command: None)]  # type: ignore[list-item]


def dedup_is_forgotten() -> Patches:
    return [(repetitions, "put_before", lambda view, queue, dedup, unique: None)]


def purging_keeps_what_was_there() -> Patches:
    """A purge says how many messages there were, and does not give the queue another number."""
    numbers = [0]

    def empty(layer: Layer, queue: Queue) -> None:
        numbers[0] = queue.filling

    return [(managing, "_empty", empty), (managing, "new_number", lambda layer: numbers[0])]


def failures_are_not_counted() -> Patches:
    def fail(layer: Layer, queue: Queue, message: Message, index: int, **times: Any) -> int:
        until_ms = times["delay_ms"] and read_clock(layer) + times["delay_ms"]
        messages.wait_again(layer, queue, message, since_ms=times["since_ms"], until_ms=until_ms)
        return 0

    return [(messages, "fail", fail)]


def the_sweeper_alone_ends_deliveries() -> Patches:
    """A command on a queue does not look after what is due."""
    return [(events, "is_due", lambda view, queue: False)]


def the_front_does_not_go_back() -> Patches:
    """A message that comes to stand before the front of its line is not seen there."""

    def stand_in(layer: Layer, queue: Queue, message: Message) -> None:
        lane = line._lane(queue, message.priority)
        lane.count += 1
        layer.put(line._key(queue, lane, line._place(message)), b"")

    return [(line, "stand_in", stand_in)]


MUTATIONS = (
    Mutation("B73", "a delivery never ends by itself", deliveries_never_end),
    Mutation("B74", "a purged queue lives on under its old number", purging_keeps_what_was_there),
    Mutation("B75", "an old receipt settles a newer delivery", older_receipts_count),
    Mutation("B76", "a dead letter is lost on its way", dead_letters_are_lost),
    Mutation("B76b", "failures are not counted", failures_are_not_counted),
    Mutation("B76c", "DEDUP and UNIQUE ids are forgotten", dedup_is_forgotten),
    Mutation("B76d", "two of a group are in flight", groups_are_not_kept),
    Mutation("B76e", "the front of a line does not go back", the_front_does_not_go_back),
    Mutation("B76f", "a transaction relies on a delivery that is over", transactions_rely_on_what_is_over),
    Mutation("B73b", "only the sweeper ends deliveries", the_sweeper_alone_ends_deliveries),
    Mutation("B63b", "replicas end deliveries by their own clocks", lambda: on_its_own_clock(events)),
)
