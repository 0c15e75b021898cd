"""What each method of the clients sends, and what it makes of the answer: written once for both of them. No I/O."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar

from raftdb.client import answers, protocol
from raftdb.client.flow import Method
from raftdb.client.http1 import Response, Sink
from raftdb.client.json_body import to_bytes
from raftdb.client.model import Answer, KeyPage, LogPage, Member, NodeStatus, TransactionAnswer
from raftdb.errors import RemoteProtocolError, RequestRefused

Text: TypeAlias = bytes | str
"""A key or a value: `str` stands for its UTF-8."""
Command: TypeAlias = tuple[str, Sequence[bytes | str]]
"""A command's name and its arguments, as in `execute`."""
Condition: TypeAlias = Literal["missing", "present"]
"""What must be true of the key for a `set` to do anything."""

T = TypeVar("T")
Key = TypeVar("Key", bound=bytes | str)

LINEARIZABLE = "linearizable"
SCAN_PAGE = 1000
"""Keys asked for at a time by a scan; nodes give no more."""

_CONDITION_WORDS = {None: (), "missing": ("NX",), "present": ("XX",)}


def execute(name: str, arguments: Sequence[Text], consistency: str = LINEARIZABLE) -> Method[Answer]:
    """Any command."""
    request = protocol.execute_request(name, arguments, consistency=consistency)
    return Method(request, lambda response: answers.answer_of(name, response))


def get_with_revision(key: Text, consistency: str) -> Method[tuple[bytes | None, int]]:
    """The value and the revision; None and 0 if there is no such key."""

    def parse(response: Response) -> tuple[bytes | None, int]:
        answer = answers.answer_of("get", response)
        if answer.revision is None:
            raise RemoteProtocolError("the answer to 'get' has no revision")
        return (_bytes(answer) if answer.revision else None), answer.revision

    return Method(protocol.execute_request("get", [key], consistency=consistency), parse)


def get(key: Text, consistency: str) -> Method[bytes | None]:
    """The value, or None."""
    method = get_with_revision(key, consistency)
    return Method(method.request, lambda response: method.parse(response)[0])


def delete(key: Text) -> Method[bytes | None]:
    """The deleted value, or None if there was none."""

    def parse(answer: Answer) -> bytes | None:
        return None if answer.revision == 0 else _bytes(answer)

    return _command("del", [key], parse)


def set_arguments(
    key: Text, value: Text, ttl_ms: int | None, keep_ttl: bool, only_if: Condition | None
) -> list[Text]:
    """The arguments of `set`. Raises `RequestRefused` for options that are not or do not go together."""
    if only_if not in _CONDITION_WORDS:
        raise RequestRefused("bad_request", 'only_if must be None, "missing" or "present"')
    if ttl_ms is not None and keep_ttl:
        raise RequestRefused("bad_request", "ttl_ms and keep_ttl exclude each other")
    ttl = () if ttl_ms is None else ("PX", str(ttl_ms))
    return [key, value, *ttl, *(("KEEPTTL",) if keep_ttl else ()), *_CONDITION_WORDS[only_if]]


def increment(key: Text, by: int) -> tuple[str, *tuple[Text, ...]]:
    """The command that adds `by`, and its arguments, by the name that its caller would give it."""
    return ("incr", key) if by == 1 else ("incrby", key, str(by))


def set_value(arguments: Sequence[Text]) -> Method[bool]:
    """Whether the value was set, which its condition may have prevented."""
    return _command("set", arguments, lambda answer: answer.value is not None)


def cas(key: Text, revision: int, value: Text) -> Method[int]:
    """The new revision."""
    return _command("cas", [key, str(revision), value], lambda answer: answer.revision or answer.index)


def getset(key: Text, value: Text) -> Method[bytes | None]:
    """The value before, or None, which the answer to `getset` alone would not tell from an empty one."""
    method = transact([("exists", [key]), ("getset", [key, value])], {}, "atomic")

    def parse(response: Response) -> bytes | None:
        existed, old = method.parse(response).results
        return old if existed and isinstance(old, bytes) else None

    return Method(method.request, parse)


def integer(name: str, *arguments: Text) -> Method[int]:
    """A command whose result is a number."""
    return _command(name, arguments, _integer)


def boolean(name: str, *arguments: Text) -> Method[bool]:
    """A command whose result is 1 or 0."""
    return _command(name, arguments, lambda answer: _integer(answer) != 0)


def string(name: str, *arguments: Text) -> Method[bytes]:
    """A command whose result is a string."""
    return _command(name, arguments, _bytes)


def status_only(name: str, *arguments: Text) -> Method[None]:
    """A command that answers no more than `OK`."""
    return _command(name, arguments, lambda answer: None)


def mget(keys: Sequence[Text]) -> Method[list[bytes | None]]:
    """The values in the order of the keys, None for a missing one."""

    def parse(answer: Answer) -> list[bytes | None]:
        values = answer.value
        if not isinstance(values, list) or len(values) != len(keys):
            raise RemoteProtocolError("the answer to 'mget' has not one value for each key")
        return [value if isinstance(value, bytes) else None for value in values]

    return _command("mget", keys, parse)


def mset(pairs: Mapping[Key, Text]) -> Method[None]:
    """Store all pairs at once."""
    return status_only("mset", *(text for pair in pairs.items() for text in pair))


def key_page(
    prefix: Text, after: Text | None, limit: int, *, values: bool, consistency: str
) -> Method[KeyPage]:
    """A page of keys in order."""
    request = protocol.keys_request(
        prefix=prefix, after=after, limit=limit, values=values, consistency=consistency
    )
    return Method(request, answers.key_page_of)


def transact(commands: Iterable[Command], watch: Mapping[bytes, int], mode: str) -> Method[TransactionAnswer]:
    """Commands as one entry of the log."""
    listed = list(commands)
    names = [name for name, _ in listed]
    request = protocol.transaction_request(listed, watch, mode)
    return Method(request, lambda response: answers.transaction_answer_of(names, response))


def watched(watch: Mapping[Key, int] | None) -> dict[bytes, int]:
    """Keys and revisions with the keys as bytes."""
    return {to_bytes(key): revision for key, revision in (watch or {}).items()}


def request_log(first: int | None, limit: int) -> Method[LogPage]:
    """A page of the leader's log."""
    return Method(protocol.request_log_request(first=first, limit=limit), answers.log_page_of)


def backup(sink: Sink) -> Method[int]:
    """A stream into `sink`; the index that it goes up to."""
    return Method(protocol.BACKUP_REQUEST, answers.backup_index_of, sink)


STATUS: Method[NodeStatus] = Method(protocol.STATUS_REQUEST, answers.status_of)
MEMBERS: Method[tuple[Member, ...]] = Method(protocol.MEMBERS_REQUEST, answers.members_of)
SNAPSHOT: Method[int] = Method(protocol.SNAPSHOT_REQUEST, answers.snapshot_index_of)


def _command(name: str, arguments: Sequence[Text], parse: Callable[[Answer], T]) -> Method[T]:
    method = execute(name, arguments)
    return Method(method.request, lambda response: parse(method.parse(response)))


def _integer(answer: Answer) -> int:
    if type(answer.value) is not int:
        raise RemoteProtocolError("the answer is not a number, as it should be")
    return answer.value


def _bytes(answer: Answer) -> bytes:
    if not isinstance(answer.value, bytes):
        raise RemoteProtocolError("the answer is not a string, as it should be")
    return answer.value
