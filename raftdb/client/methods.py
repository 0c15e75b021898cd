"""What each method of the clients sends, and what it makes of the answer: written once for both of them. No I/O.

A `form` is what byte strings come back as (`raftdb.client.given`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias, TypeVar

from raftdb.client import answers, protocol
from raftdb.client.flow import Method
from raftdb.client.given import (
    Command,
    Form,
    Lifetime,
    Pairs,
    Text,
    V,
    as_bytes,
    command_name,
    commands_of,
    milliseconds,
    pairs_of,
    seconds,
    several,
    to_bytes,
    whole,
)
from raftdb.client.http1 import Response, Sink
from raftdb.client.model import Answer, KeyPage, LogPage, Member, NodeStatus, TransactionAnswer
from raftdb.client.protocol import Consistency, Mode
from raftdb.errors import RemoteProtocolError, RequestRefused

Condition: TypeAlias = Literal["missing", "present"]
"""What must be true of the key for a `set` to do anything."""

T = TypeVar("T")

LINEARIZABLE: Consistency = "linearizable"
SCAN_PAGE = 1000
"""Keys asked for at a time by a scan; nodes give no more."""

_CONDITION_WORDS = {None: (), "missing": (b"NX",), "present": (b"XX",)}


def known(value: T) -> Method[T]:
    """What needs no node: nothing of nothing."""
    return Method(None, lambda response: value)


def execute(form: Form[V], name: str, arguments: Iterable[Text], consistency: str) -> Method[Answer]:
    """Any command."""
    words = several(arguments, "the arguments of a command")
    request = protocol.execute_request(command_name(name), words, consistency=consistency)
    return Method(request, lambda response: answers.answer_of(name, response, form))


def get_with_revision(form: Form[V], key: Text, consistency: str) -> Method[tuple[V | None, int]]:
    """The value and the revision; None and 0 if there is no such key."""

    def parse(response: Response) -> tuple[V | None, int]:
        answer = answers.answer_of("get", response, as_bytes)
        if answer.revision is None:
            raise RemoteProtocolError("the answer to 'get' has no revision")
        return (form(_bytes(answer)) if answer.revision else None), answer.revision

    return Method(protocol.execute_request("get", [key], consistency=consistency), parse)


def get(form: Form[V], key: Text, consistency: str) -> Method[V | None]:
    """The value, or None."""
    method = get_with_revision(form, key, consistency)
    return Method(method.request, lambda response: method.parse(response)[0])


def pop(form: Form[V], key: Text) -> Method[V | None]:
    """Delete a key: the value it had, or None if there was none."""

    def parse(answer: Answer) -> V | None:
        return None if answer.revision == 0 else form(_bytes(answer))

    return _command("del", [key], parse)


def delete(keys: Sequence[Text]) -> Method[int]:
    """Delete keys at once: how many there were."""
    names = list(dict.fromkeys(map(to_bytes, keys)))
    if not names:
        return known(0)
    if len(names) == 1:
        return _command("del", names, lambda answer: int(answer.revision != 0))
    method = transact(as_bytes, [("exists", names), *(("del", [name]) for name in names)], {}, "atomic")

    def parse(response: Response) -> int:
        count = method.parse(response).results[0]
        return count if isinstance(count, int) else 0

    return Method(method.request, parse)


def set_arguments(
    key: Text, value: Text, ttl: Lifetime | None, keep_ttl: bool, only_if: Condition | None
) -> list[bytes]:
    """The arguments of `set`. Raises `RequestRefused` for options that are not or do not go together."""
    if only_if not in _CONDITION_WORDS:
        raise RequestRefused("bad_request", 'only_if must be None, "missing" or "present"')
    if ttl is not None and keep_ttl:
        raise RequestRefused("bad_request", "ttl and keep_ttl exclude each other")
    words = () if ttl is None else (b"PX", b"%d" % milliseconds(ttl))
    kept = (b"KEEPTTL",) if keep_ttl else ()
    return [to_bytes(key), to_bytes(value), *words, *kept, *_CONDITION_WORDS[only_if]]


def increment(key: Text, by: int) -> tuple[str, *tuple[Text, ...]]:
    """The command that adds `by`, and its arguments, by the name that its caller would give it."""
    added = whole(by, "what is added")
    return ("incr", key) if added == 1 else ("incrby", key, added)


def set_value(arguments: Sequence[Text]) -> Method[bool]:
    """Whether the value was set, which its condition may have prevented."""
    return _command("set", arguments, lambda answer: answer.value is not None)


def cas(key: Text, revision: int, value: Text) -> Method[int]:
    """The new revision."""
    arguments = [key, whole(revision, "a revision"), value]
    return _command("cas", arguments, lambda answer: answer.revision or answer.index)


def getset(form: Form[V], key: Text, value: Text) -> Method[V | None]:
    """The value before, or None, which the answer to `getset` alone would not tell from an empty one."""
    method = transact(as_bytes, [("exists", [key]), ("getset", [key, value])], {}, "atomic")

    def parse(response: Response) -> V | None:
        existed, old = method.parse(response).results
        return form(old) if existed and isinstance(old, bytes) else None

    return Method(method.request, parse)


def incr(key: Text, by: int) -> Method[int]:
    """The sum."""
    return integer("incrby", key, whole(by, "what is added"))


def expire(key: Text, lifetime: Lifetime) -> Method[bool]:
    """Whether there is such a key."""
    return boolean("expire", key, seconds(lifetime))


def exists(keys: Sequence[Text]) -> Method[int]:
    """How many there are."""
    return integer("exists", *keys) if keys else known(0)


def integer(name: str, *arguments: Text) -> Method[int]:
    """A command whose result is a number."""
    return _command(name, arguments, _integer)


def boolean(name: str, *arguments: Text) -> Method[bool]:
    """A command whose result is 1 or 0."""
    return _command(name, arguments, lambda answer: _integer(answer) != 0)


def status_only(name: str, *arguments: Text) -> Method[None]:
    """A command that answers no more than `OK`."""
    return _command(name, arguments, lambda answer: None)


def mget(form: Form[V], keys: Iterable[Text]) -> Method[list[V | None]]:
    """The values in the order of the keys, None for a missing one."""
    names = several(keys, "the keys of mget")

    def parse(answer: Answer) -> list[V | None]:
        values = answer.value
        if not isinstance(values, list) or len(values) != len(names):
            raise RemoteProtocolError("the answer to 'mget' has not one value for each key")
        return [form(value) if isinstance(value, bytes) else None for value in values]

    return _command("mget", names, parse) if names else known([])


def mset(pairs: Pairs) -> Method[None]:
    """Store all pairs at once."""
    arguments = pairs_of(pairs)
    return status_only("mset", *arguments) if arguments else known(None)


def key_page(
    form: Form[V], prefix: Text, after: Text | None, limit: int, *, values: bool, consistency: str
) -> Method[KeyPage[V]]:
    """A page of keys in order."""
    request = protocol.keys_request(
        prefix=prefix, after=after, limit=whole(limit, "the limit"), values=values, consistency=consistency
    )
    return Method(request, lambda response: answers.key_page_of(response, form))


def transact(
    form: Form[V], commands: Iterable[Command], watch: dict[bytes, int], mode: Mode
) -> Method[TransactionAnswer]:
    """Commands as one entry of the log."""
    listed = commands_of(commands)
    names = [name for name, _ in listed]
    request = protocol.transaction_request(listed, watch, mode)
    return Method(request, lambda response: answers.transaction_answer_of(names, response, form))


def request_log(first: int | None, limit: int) -> Method[LogPage]:
    """A page of the leader's log."""
    start = None if first is None else whole(first, "the first index")
    request = protocol.request_log_request(first=start, limit=whole(limit, "the limit"))
    return Method(request, answers.log_page_of)


def backup(sink: Sink) -> Method[int]:
    """A stream into `sink`; the index that it goes up to."""
    return Method(protocol.BACKUP_REQUEST, answers.backup_index_of, sink)


STATUS: Method[NodeStatus] = Method(protocol.STATUS_REQUEST, answers.status_of)
MEMBERS: Method[tuple[Member, ...]] = Method(protocol.MEMBERS_REQUEST, answers.members_of)
SNAPSHOT: Method[int] = Method(protocol.SNAPSHOT_REQUEST, answers.snapshot_index_of)


def _command(name: str, arguments: Sequence[Text], parse: Callable[[Answer], T]) -> Method[T]:
    request = protocol.execute_request(name, arguments, consistency=LINEARIZABLE)
    return Method(request, lambda response: parse(answers.answer_of(name, response, as_bytes)))


def _integer(answer: Answer) -> int:
    if type(answer.value) is not int:
        raise RemoteProtocolError("the answer is not a number, as it should be")
    return answer.value


def _bytes(answer: Answer) -> bytes:
    if not isinstance(answer.value, bytes):
        raise RemoteProtocolError("the answer is not a string, as it should be")
    return answer.value
