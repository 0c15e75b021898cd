"""The request of each call about locks and queues, and how its answer is read. No I/O.

A call that waits (`wait_ms`) is held by the leader; `raftdb.client.protocol.Request.held` adds how long. Renewals are
routed like reads, because to send them twice does no harm.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict, TypeVar, cast

from raftdb.client.flow import Method
from raftdb.client.given import Form, Lifetime, Text, V, as_bytes, milliseconds, to_bytes, whole
from raftdb.client.keeping import Batch, Sort, in_seconds
from raftdb.client.methods import LINEARIZABLE, execute, integer, transact
from raftdb.client.model import Answer, Value
from raftdb.client.protocol import Kind, keep_request
from raftdb.errors import RemoteProtocolError, RequestRefused
from raftdb.limits import MESSAGE_ERROR_BYTES_MAX

T = TypeVar("T")


class Put(NamedTuple):
    """What became of a message that was put. `is_new` is False if `dedup` or `unique` knew it already; `id` is that of
    the message that is there."""

    id: str
    is_new: bool


class Delivery(NamedTuple):
    """A message that was handed out: `receipt` names this delivery, and `deliveries` is 1 at the first."""

    id: str
    receipt: bytes
    deliveries: int
    value: bytes


class Holder(NamedTuple):
    """Who holds a lock."""

    owner: bytes
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How a lock is held: by one, by those that share it, or by up to `limit`."""

    shared: bool = False
    limit: int = 0

    @property
    def is_shared(self) -> bool:
        """Whether others may hold it at the same time."""
        return self.shared or self.limit > 0

    @property
    def words(self) -> list[Text]:
        """The words of the command `lock`."""
        return ["LIMIT", self.limit] if self.limit else ["SHARED"] if self.shared else []


def lock(
    name: bytes, mode: Mode, *, ttl_ms: float, owner: bytes, wait_ms: float | None
) -> Method[int | None]:
    """Take a lock; the result is its token, or None if it was not free in time. It does not wait with `wait_ms`
    None."""
    words: list[Text] = [name, *mode.words, "TTL", in_seconds(ttl_ms), "OWNER", owner]

    def token(value: Value) -> int | None:
        if value is None:
            return None
        if isinstance(value, list) and value and isinstance(value[0], int):
            return value[0]
        raise RemoteProtocolError("the answer to 'lock' has no token")

    return _waiting(_parsed("lock", words, token), wait_ms)


def unlock(name: bytes, token: int) -> Method[int]:
    """Give a lock back; the result is 0 if it was not held any more."""
    return integer("unlock", name, token)


def holder(name: bytes) -> Method[Holder | None]:
    """Who holds an exclusive lock; None if nobody does."""

    def first(value: Value) -> Holder | None:
        holders = _named(value).get("holders")
        for found in holders if isinstance(holders, list) else []:
            if (
                isinstance(found, list)
                and len(found) > 2
                and isinstance(found[0], bytes)
                and isinstance(found[2], int)
            ):
                return Holder(found[0], found[2])
        return None

    return _parsed("lockinfo", [name], first)


def renewal(batch: Batch) -> Method[int]:
    """Renew what is in a batch; the result is how many of it are. Raises `SessionExpired` if a session is not there."""
    if batch.sort is Sort.SESSION:
        return Method(keep_request(batch.kept[0].name.decode()), lambda response: 1)
    commands = batch.commands()
    if len(commands) == 1:
        method = integer(commands[0][0], *commands[0][1])
        return _repeatable(method)
    together = transact(as_bytes, commands, {}, "atomic")
    return _repeatable(
        Method(together.request, lambda response: sum(one == 1 for one in together.parse(response).results))
    )


class PutManyOptions(TypedDict, total=False):
    """How messages are put. `delay`: they are visible only after that time, in seconds or as a `timedelta`. `group`:
    messages of a group are handed out strictly in order, one at a time. `priority`: 9 comes before 0, which is the
    default. `ttl`: they expire if they were not received by then. None is as if it was left out."""

    delay: Lifetime | None
    group: Text | None
    priority: int | None
    ttl: Lifetime | None


class PutOptions(PutManyOptions, total=False):
    """How one message is put. `dedup`: nothing is put if the queue has seen this id within its window. `unique`: nor
    while a message of this id waits; once it was received another may be put."""

    dedup: Text | None
    unique: Text | None


_PUT_WORDS: dict[str, Callable[[Any], bytes]] = {
    "delay": lambda time: in_seconds(milliseconds(time)),
    "ttl": lambda time: in_seconds(milliseconds(time)),
    "dedup": to_bytes,
    "unique": to_bytes,
    "group": to_bytes,
    "priority": lambda number: b"%d" % whole(number, "a priority"),
}
"""How each option is sent, in the order in which they are."""


def put_arguments(queue: bytes, value: Text, options: PutOptions) -> list[bytes]:
    """The arguments of `enqueue`. Raises `TypeError`, also for an option that there is not, and `RequestRefused` for a
    time that is none."""
    unknown = sorted(options.keys() - _PUT_WORDS.keys())
    if unknown:
        raise TypeError(f"there is no option {unknown[0]!r}: a message is put with {', '.join(_PUT_WORDS)}")
    words = [queue, to_bytes(value)]
    for name, word_of in _PUT_WORDS.items():
        given = options.get(name)
        words += [] if given is None else [name.upper().encode(), word_of(given)]
    return words


def put_many_arguments(queue: bytes, value: Text, options: PutManyOptions) -> list[bytes]:
    """The arguments of `enqueue` for one of several messages. Raises as `put_arguments`."""
    for name in ("dedup", "unique"):
        if name in options:
            raise TypeError(f"several messages cannot have one {name!r}")
    return put_arguments(queue, value, cast(PutOptions, options))


def put(arguments: Sequence[bytes]) -> Method[Put]:
    """Put a message."""
    return _parsed("enqueue", arguments, put_of)


def put_many(several: Sequence[Sequence[bytes]]) -> Method[list[Put]]:
    """Put several messages in one entry of the log."""
    method = transact(as_bytes, [("enqueue", arguments) for arguments in several], {}, "atomic")
    return Method(
        method.request, lambda response: [put_of(value) for value in method.parse(response).results]
    )


def put_of(value: object) -> Put:
    """The result of `enqueue`."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], bytes):
        return Put(value[0].decode(), value[1] == 1)
    raise RemoteProtocolError("the answer to 'enqueue' is no id of a message")


def pop(form: Form[V], queue: bytes, wait_ms: float | None) -> Method[V | None]:
    """Take the first message for good; None if there is none."""

    def shown(value: Value) -> V | None:
        return form(value) if isinstance(value, bytes) else None

    return _waiting(_parsed("dequeue", [queue], shown), wait_ms)


def receive(
    queue: bytes, *, count: int, visibility_ms: float, worker: Text | None, wait_ms: float | None
) -> Method[list[Delivery]]:
    """Hand out up to `count` messages."""
    words: list[Text] = [queue, "COUNT", whole(count, "the count"), "VISIBILITY", in_seconds(visibility_ms)]
    if worker is not None:
        words += ["WORKER", worker]
    return _waiting(_parsed("receive", words, _deliveries), wait_ms)


def _deliveries(value: Value) -> list[Delivery]:
    """The result of `receive`, without messages that are gone again when it is repeated, whose value is None."""
    found = []
    for one in value if isinstance(value, list) else []:
        match one:
            case [bytes() as name, bytes() as receipt, int() as deliveries, bytes() as content]:
                found.append(Delivery(name.decode(), receipt, deliveries, content))
            case [bytes(), bytes(), int(), None]:
                pass
            case _:
                raise RemoteProtocolError("the answer to 'receive' is no list of deliveries")
    return found


def ack(queue: bytes, receipts: Sequence[bytes]) -> Method[int]:
    """These deliveries are done; the result is how many were not over."""
    return integer("ack", queue, *receipts)


def nack(
    queue: bytes, receipt: bytes, *, delay: Lifetime | None, error: str | None, free: bool, dead: bool
) -> Method[int]:
    """Give a message back; the result is 0 if the delivery was over. Raises `RequestRefused` for options that exclude
    each other."""
    if free and dead:
        raise RequestRefused("bad_request", "free and dead exclude each other")
    words: list[Text] = [queue, receipt]
    if delay is not None:
        words += ["DELAY", in_seconds(milliseconds(delay))]
    if error:
        # No more of it is kept, and a command cannot have very much.
        words += ["ERROR", error[:MESSAGE_ERROR_BYTES_MAX].encode("utf-8", "replace")]
    return integer("nack", *words, *(["FREE"] if free else ["DEAD"] if dead else []))


def give_back(queue: bytes, receipt: bytes) -> Method[int]:
    """Let others have a message at once, with nothing counted; the result is 0 if the delivery was over."""
    return nack(queue, receipt, delay=None, error=None, free=True, dead=False)


def extend(queue: bytes, receipts: Sequence[bytes], time_ms: float) -> Method[int]:
    """Let deliveries last so long from now; the result is how many were not over."""
    return _repeatable(integer("extend", queue, in_seconds(time_ms), *receipts))


def info(queue: bytes) -> Method[dict[str, int | str]]:
    """What `qinfo` tells of a queue, by name."""

    def shown(value: Value) -> dict[str, int | str]:
        return {
            name: told.decode("utf-8", "replace") if isinstance(told, bytes) else told
            for name, told in _named(value).items()
            if isinstance(told, int | bytes)
        }

    return _parsed("qinfo", [queue], shown)


def _named(value: Value) -> dict[str, Value]:
    """Names and values in turn, by name."""
    flat = value if isinstance(value, list) else []
    pairs = zip(flat[::2], flat[1::2], strict=False)
    return {name.decode(): told for name, told in pairs if isinstance(name, bytes)}


def _parsed(name: str, words: Iterable[Text], parse: Callable[[Value], T]) -> Method[T]:
    method: Method[Answer] = execute(as_bytes, name, words, LINEARIZABLE)
    return Method(method.request, lambda response: parse(method.parse(response).value))


def _waiting(method: Method[T], wait_ms: float | None) -> Method[T]:
    if wait_ms is None or method.request is None:
        return method
    return replace(method, request=replace(method.request, wait_ms=wait_ms))


def _repeatable(method: Method[T]) -> Method[T]:
    """The same, routed like a read: it may be sent again, and needs no session."""
    return (
        method if method.request is None else replace(method, request=replace(method.request, kind=Kind.READ))
    )
