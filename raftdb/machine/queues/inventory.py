"""What all queues of a state have, and whether what is counted of each agrees with its messages."""

from collections import Counter
from collections.abc import Iterator

from raftdb.machine.inventory import Noted, everything, shortened
from raftdb.machine.keyspace import MESSAGE_PREFIX, QUEUE_PREFIX
from raftdb.machine.layer import KeyValueView
from raftdb.machine.queues.records import ID_BYTES, Queue, State, decode_message, load_queue
from raftdb.machine.reply import shown_key
from raftdb.machine.sweeping import is_pending


def take_inventory(view: KeyValueView) -> Iterator[Noted]:
    """Count the queues, and the messages of all in each state; name what is odd."""
    queues = _queues(view)
    counted = Counter(_places(view))
    yield Noted("queues", len(queues))
    yield Noted("messages visible", sum(queue.visible + queue.coming for queue in queues))
    yield Noted("messages delayed", sum(queue.delayed for queue in queues))
    yield Noted("messages in flight", sum(queue.in_flight for queue in queues))
    yield Noted("messages dead", sum(queue.dead for queue in queues), _look_at_dead(queues))
    for queue in queues:
        if queue.settings.paused and queue.length:
            advice = f"qset {shown_key(queue.name)} paused 0"
            yield Noted("queue paused", f"{shown_key(queue.name)}, with {queue.length} messages", advice)
    yield from shortened([*_miscounted(queues, counted), *_lost(queues, counted, is_pending(view))])


def _queues(view: KeyValueView) -> list[Queue]:
    names = [key[1:] for key, _ in everything(view, QUEUE_PREFIX)]
    return [queue for name in names if (queue := load_queue(view, name)) is not None]


def _places(view: KeyValueView) -> Iterator[tuple[int, State]]:
    """Of each message the number under which it stands, and its state."""
    for key, record in everything(view, MESSAGE_PREFIX):
        yield int.from_bytes(key[1:-ID_BYTES]), decode_message(key[-ID_BYTES:], record).state


def _look_at_dead(queues: list[Queue]) -> str | None:
    """Where to look for dead messages: in the queue that has the most of them."""
    most = max(queues, key=lambda queue: queue.dead, default=None)
    return None if most is None or not most.dead else f"peek {shown_key(most.name)} STATE dead"


def _miscounted(queues: list[Queue], counted: Counter[tuple[int, State]]) -> Iterator[Noted]:
    for queue in queues:
        for state, number, said in (
            (State.VISIBLE, queue.filling, queue.visible),
            (State.DELAYED, queue.filling, queue.delayed),
            (State.IN_FLIGHT, queue.filling, queue.in_flight),
            (State.DEAD, queue.grave, queue.dead),
        ):
            found = counted.pop((number, state), 0)
            if found != said:
                what = f"{shown_key(queue.name)} counts {said} that are {state.name.lower()}, and has {found}"
                yield Noted("queue", what, is_wrong=True)


def _lost(queues: list[Queue], counted: Counter[tuple[int, State]], is_removing: bool) -> Iterator[Noted]:
    """What is left when the messages of the queues are taken out: those that are on their way to another state, or are
    being removed; else they belong to nobody."""
    beyond, coming = counted.total(), sum(queue.coming for queue in queues)
    if beyond < coming or (beyond > coming and not is_removing):
        what = f"{beyond} messages belong to no queue, where {coming} should be on their way"
        yield Noted("messages", what, is_wrong=True)
