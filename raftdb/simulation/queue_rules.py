"""The commands on queues, as the model does them (`queue_model`)."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any
from zlib import crc32

from raftdb.machine.queues.deliveries import BACK_OFF, Ack, Extend, GiveBack, Nack
from raftdb.machine.queues.info import QueueInfo
from raftdb.machine.queues.looking import Peek, QueueGet, QueueLength, QueueNames, StateWanted
from raftdb.machine.queues.managing import Purge, QueueDelete, QueueRemove, QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.redriving import AT_ONCE_MAX, Redrive
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.service import Command
from raftdb.machine.slots import slot_of
from raftdb.simulation.modelled import Failed, Failure
from raftdb.simulation.queue_model import (
    DEAD,
    DELAYED,
    IN_FLIGHT,
    VISIBLE,
    Id,
    Message,
    Moving,
    Queue,
    QueueModel,
    receipt_of,
    text_of,
)


def run(model: QueueModel, command: Command) -> Any:
    """The answer of a command. Raises `Failed`, and then nothing has changed."""
    name: bytes = getattr(command, "queue", b"")
    queue = model.queues.get(name)
    is_due = queue is not None and any(map(model.is_due, queue.messages))
    before = (deepcopy(model.queues), model.place) if is_due else None
    is_kept = not isinstance(command, _READS)
    try:
        if is_due:
            model.look_after(name)
        return _RULES[type(command)](model, command)
    except Failed:
        is_kept = False
        raise
    finally:
        if before is not None and not is_kept:
            model.queues, model.place = before


def _enqueue(model: QueueModel, command: Enqueue) -> Any:
    queue = model.queues.get(command.queue)
    if queue is not None:
        end_ms, known = queue.seen.get(command.dedup, (-1, (0, 0)))
        if command.dedup and end_ms >= model.clock_ms:
            return [text_of(known), 0]
        waiting = queue.waiting_under(command.unique) if command.unique else None
        if waiting is not None:
            return [text_of(waiting), 0]
        alive, limits = queue.alive(), queue.settings
        bytes_after = sum(len(message.value) for message in alive) + len(command.value)
        length = len(alive) + model.coming(command.queue)
        if 0 < limits[b"max_length"] <= length or 0 < limits[b"max_bytes"] < bytes_after:
            raise Failed(Failure("queue_full"))
    queue = model.queue_of(command.queue)
    message = Message(
        model.new_id(),
        command.value,
        model.clock_ms,
        model.clock_ms,
        until_ms=model.clock_ms + command.delay_ms if command.delay_ms else None,
        ends_ms=model.clock_ms + command.ttl_ms if command.ttl_ms else None,
        group=command.group,
        unique=command.unique,
        priority=command.priority,
    )
    model.put(queue, message)
    if command.dedup and queue.settings[b"dedup_window"]:
        queue.seen[command.dedup] = (model.clock_ms + queue.settings[b"dedup_window"], message.id)
    return [text_of(message.id), 1]


def _next(model: QueueModel, name: bytes, count: int) -> list[Message]:
    queue = model.queues.get(name)
    return [] if queue is None or queue.settings[b"paused"] else queue.line()[:count]


def _dequeue(model: QueueModel, command: Dequeue) -> Any:
    for message in _next(model, command.queue, 1):
        model.forget(model.queues[command.queue], message)
        model.queues[command.queue].taken += 1
        return message.value
    return None


def _receive(model: QueueModel, command: Receive) -> Any:
    told = []
    for message in _next(model, command.queue, command.count):
        queue = model.queues[command.queue]
        queue.redelivered += message.deliveries > 0
        visibility_ms = command.visibility_ms or queue.settings[b"visibility"]
        message.state, message.since_ms = IN_FLIGHT, model.clock_ms
        message.until_ms, message.worker = model.clock_ms + visibility_ms, command.worker
        message.deliveries += 1
        model.warn(queue, message)
        told.append([text_of(message.id), receipt_of(message), message.deliveries, message.value])
    return told


def _ack(model: QueueModel, command: Ack) -> Any:
    count = 0
    for receipt in command.receipts:
        message = model.held(command.queue, receipt)
        if message is not None:
            model.forget(model.queues[command.queue], message)
            model.queues[command.queue].taken += 1
            count += 1
    return count


def _extend(model: QueueModel, command: Extend) -> Any:
    held = [model.held(command.queue, receipt) for receipt in command.receipts]
    for message in held:
        if message is not None:
            message.until_ms = model.clock_ms + command.time_ms
            model.warn(model.queues[command.queue], message)
    return sum(message is not None for message in held)


def _nack(model: QueueModel, command: Nack) -> Any:
    message = model.held(command.queue, command.receipt)
    if message is None:
        return 0
    queue = model.queues[command.queue]
    message.error = command.error or message.error
    if command.how is GiveBack.FREE:
        model.wait(queue, message, since_ms=model.clock_ms, until_ms=None)
    elif command.how is GiveBack.DEAD:
        message.failures += 1
        model.bury(queue, message)
    else:
        delay_ms = command.delay_ms
        if delay_ms == BACK_OFF:
            middle_ms = min(1_000 * 2 ** min(message.failures, 20), 300_000)
            digest = crc32(message.id[0].to_bytes(8) + message.id[1].to_bytes(4))
            delay_ms = middle_ms * (768 + digest % 512) // 1024
        until_ms = model.clock_ms + delay_ms if delay_ms else None
        model.fail(queue, message, since_ms=model.clock_ms, until_ms=until_ms)
    return 1


def _info(model: QueueModel, command: QueueInfo) -> Any:
    queue = model.queues.get(command.queue)
    if queue is None:
        raise Failed(Failure("not_found"))
    settings = queue.settings
    firsts = queue.line()
    return [
        *(b"visible", _length(model, command), b"delayed", len(queue.of(DELAYED))),
        *(b"in_flight", len(queue.of(IN_FLIGHT)), b"dead", len(queue.of(DEAD))),
        *(b"bytes", sum(len(message.value) for message in queue.alive())),
        *(b"oldest_ms", max((model.clock_ms - message.since_ms for message in firsts), default=0)),
        *(b"in", queue.put, b"out", queue.taken),
        *(b"redelivered", queue.redelivered, b"expired", queue.expired),
        *(b"visibility_ms", settings[b"visibility"], b"max_failures", settings[b"max_failures"]),
        *(b"dead_letter", settings[b"dead_letter"], b"max_length", settings[b"max_length"]),
        *(b"max_bytes", settings[b"max_bytes"], b"dedup_window_ms", settings[b"dedup_window"]),
        *(b"paused", settings[b"paused"], b"slot", slot_of(command.queue)),
        *(b"waiting_receivers", None),
    ]


def _length(model: QueueModel, command: QueueLength | QueueInfo) -> int:
    return len(model.queues.get(command.queue, Queue()).of(VISIBLE)) + model.coming(command.queue)


def _peek(model: QueueModel, command: Peek) -> Any:
    queue = model.queues.get(command.queue, Queue())
    wanted = [
        message
        for message in sorted(queue.messages, key=lambda message: message.id)
        if command.state is StateWanted.ANY or message.state == command.state.name.lower()
    ]
    after = _id(command.after) if command.after else (-1, 0)
    return [_shown(message) for message in wanted if message.id > after][: command.count]


def _get(model: QueueModel, command: QueueGet) -> Any:
    for message in model.queues.get(command.queue, Queue()).messages:
        if text_of(message.id) == command.id:
            return _shown(message)
    return None


def _names(model: QueueModel, command: QueueNames) -> Any:
    names = [name for name in sorted(model.queues) if name.startswith(command.prefix)]
    return [name for name in names if name > command.after][: command.limit]


def _remove(model: QueueModel, command: QueueRemove) -> Any:
    queue = model.queues.get(command.queue, Queue())
    found = [message for message in queue.messages if text_of(message.id) in command.ids]
    for message in found:
        model.forget(queue, message)
    return len(found)


def _set(model: QueueModel, command: QueueSet) -> Any:
    if len(dict(command.settings)) < len(command.settings):
        raise Failed(Failure("command_failed"))
    for name, text in command.settings:
        if name == b"dead_letter":
            passed = [command.queue]
            while text:
                if text in passed:
                    raise Failed(Failure("conflict"))
                passed.append(text)
                text = model.queues.get(text, Queue()).settings[b"dead_letter"]
    queue = model.queue_of(command.queue)
    for name, text in command.settings:
        if name in (b"visibility", b"dedup_window"):
            queue.settings[name] = round(float(text) * 1000)
        else:
            queue.settings[name] = text if name == b"dead_letter" else int(text)
    return "OK"


def _purge(model: QueueModel, command: Purge) -> Any:
    queue = model.queues.get(command.queue)
    count = 0 if queue is None else len(queue.alive()) + model.coming(command.queue)
    if queue is not None and count:
        queue.messages, queue.alarm_ms = queue.of(DEAD), None
        queue.filling = model.number()
    return count


def _delete(model: QueueModel, command: QueueDelete) -> Any:
    coming = model.coming(command.queue)
    return len(model.queues.pop(command.queue, Queue()).messages) + coming


def _redrive(model: QueueModel, command: Redrive) -> Any:
    queue = model.queues.get(command.queue)
    dead = [] if queue is None else sorted(queue.of(DEAD), key=lambda message: message.id)
    if command.ids:
        texts = dict.fromkeys(command.ids)
        dead = [message for text in texts for message in dead if text_of(message.id) == text]
    if queue is None or not dead:
        return 0
    name = command.target or command.queue
    target = model.queue_of(name)
    if not command.ids and not command.count:
        chosen, later = dead[:AT_ONCE_MAX], dead[AT_ONCE_MAX:]
    else:
        chosen, later = dead if command.ids else dead[: command.count], []
    for message in chosen:
        queue.messages.remove(message)
        model.put(target, model.copy(message))
    if later:
        queue.messages = queue.alive()
        model.moving.append(Moving(model.clock_ms, queue.burial, name, target.filling, later))
        queue.burial = model.number()
    return len(chosen) + len(later)


def _id(text: bytes) -> Id:
    index, _, place = text.partition(b"-")
    return int(index), int(place)


def _shown(message: Message) -> list[Any]:
    return [
        *(b"id", text_of(message.id), b"state", message.state.encode(), b"value", message.value),
        *(b"put_ms", message.put_ms, b"since_ms", message.since_ms, b"until_ms", message.until_ms),
        *(b"ends_ms", message.ends_ms, b"deliveries", message.deliveries, b"failures", message.failures),
        *(b"worker", message.worker, b"error", message.error, b"group", message.group),
        *(b"priority", message.priority),
    ]


_READS = (QueueLength, QueueInfo, QueueNames, Peek, QueueGet)

_RULES: dict[type[Command], Callable[[QueueModel, Any], Any]] = {
    Enqueue: _enqueue,
    Dequeue: _dequeue,
    Receive: _receive,
    Ack: _ack,
    Nack: _nack,
    Extend: _extend,
    QueueLength: _length,
    QueueInfo: _info,
    QueueNames: _names,
    Peek: _peek,
    QueueGet: _get,
    QueueRemove: _remove,
    QueueSet: _set,
    Redrive: _redrive,
    Purge: _purge,
    QueueDelete: _delete,
}

QUEUE_COMMANDS = tuple(_RULES)
"""The commands that the model of queues knows."""
