"""The request of each method about keys and values, and how its answer is read. No I/O.

`form` converts the byte strings of results (`raftdb.client.given`). A command that is not in this version's table is
sent all the same, as a write, because the node may be newer. All raise `TypeError` and `RequestRefused` for bad
arguments.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

from raftdb.client import answers
from raftdb.client.comparing import Comparison, comparisons_to_json
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
from raftdb.client.http1 import Response
from raftdb.client.json_body import bytes_to_json
from raftdb.client.model import Answer, KeyPage, TransactionAnswer
from raftdb.client.protocol import CONSISTENCIES, MODES, Consistency, Kind, Mode, Request
from raftdb.commands.spec import Access, lookup, parse
from raftdb.commands.waiting import split_wait, takes_turns_in_line
from raftdb.errors import RemoteProtocolError, RequestRefused
from raftdb.machine.strings import Binding, FencedSet, Set

Condition: TypeAlias = Literal["missing", "present"]
"""A `set` with it stores nothing unless the key is missing, or present."""

T = TypeVar("T")

LINEARIZABLE: Consistency = "linearizable"
SCAN_PAGE = 1000
"""Keys that a scan asks for at a time, which is the most that nodes give."""

_CONDITION_WORDS = {None: (), "missing": (b"NX",), "present": (b"XX",)}


def known(value: T) -> Method[T]:
    """A method whose result is known without asking a node, such as `mget` of no keys."""
    return Method(None, lambda response: value)


def execute(form: Form[V], name: str, arguments: Iterable[Text], consistency: Consistency) -> Method[Answer]:
    """Any command."""
    words = several(arguments, "the arguments of a command")
    request = _execution(command_name(name), words, consistency)
    return Method(request, lambda response: answers.answer_of(name, response, form))


class Seen(NamedTuple, Generic[V]):
    """The value of a key and its revision, None and 0 if there is no such key; and the index of the state in which it
    was seen."""

    value: V | None
    revision: int
    index: int  # type: ignore[assignment]  # hides tuple.index


def see(form: Form[V], key: Text, consistency: Consistency) -> Method[Seen[V]]:
    """What a key is."""

    def parse(response: Response) -> Seen[V]:
        answer = answers.answer_of("get", response, as_bytes)
        if answer.revision is None:
            raise RemoteProtocolError("the answer to 'get' has no revision")
        return Seen(form(_bytes(answer)) if answer.revision else None, answer.revision, answer.index)

    return Method(_execution("get", [key], consistency), parse)


def get_with_revision(form: Form[V], key: Text, consistency: Consistency) -> Method[tuple[V | None, int]]:
    """The value of a key and its revision; None and 0 if there is no such key."""
    method = see(form, key, consistency)
    return Method(method.request, lambda response: method.parse(response)[:2])


def get(form: Form[V], key: Text, consistency: Consistency) -> Method[V | None]:
    """The value of a key; None if there is no such key."""
    method = get_with_revision(form, key, consistency)
    return Method(method.request, lambda response: method.parse(response)[0])


def pop(form: Form[V], key: Text) -> Method[V | None]:
    """Delete a key; the result is its old value, or None if there was no such key."""

    def parse(answer: Answer) -> V | None:
        return None if answer.revision == 0 else form(_bytes(answer))

    return _command("del", [key], parse)


def delete(keys: Sequence[Text]) -> Method[int]:
    """Delete keys in one entry of the log; the result is how many there were."""
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
    key: Text, value: Text, ttl: Lifetime | None, keep_ttl: bool, only_if: Condition | None, session: bool
) -> list[bytes]:
    """The arguments of `set`. Raises `RequestRefused` for a bad option, and for options that exclude each other."""
    if only_if not in _CONDITION_WORDS:
        raise RequestRefused("bad_request", 'only_if must be None, "missing" or "present"')
    if ttl is not None and keep_ttl:
        raise RequestRefused("bad_request", "ttl and keep_ttl exclude each other")
    words = () if ttl is None else (b"PX", b"%d" % milliseconds(ttl))
    kept = (b"KEEPTTL",) if keep_ttl else ()
    bound = (b"SESSION",) if session else ()
    return [to_bytes(key), to_bytes(value), *words, *kept, *_CONDITION_WORDS[only_if], *bound]


def increment(key: Text, by: int) -> tuple[str, *tuple[Text, ...]]:
    """The command that adds `by`, with its arguments: `incr` for 1, else `incrby`."""
    added = whole(by, "what is added")
    return ("incr", key) if added == 1 else ("incrby", key, added)


def set_value(arguments: Sequence[Text]) -> Method[bool]:
    """Set a value; the result is False if the condition prevented it."""
    return _command("set", arguments, lambda answer: answer.value is not None)


def cas(key: Text, revision: int, value: Text) -> Method[int]:
    """Set a value if the key has this revision; the result is the new revision."""
    arguments = [key, whole(revision, "a revision"), value]
    return _command("cas", arguments, lambda answer: answer.revision or answer.index)


def getset(form: Form[V], key: Text, value: Text) -> Method[V | None]:
    """Set a value; the result is the old value, or None. The answer to `getset` alone does not tell None from an empty
    value, so `exists` comes with it."""
    method = transact(as_bytes, [("exists", [key]), ("getset", [key, value])], {}, "atomic")

    def parse(response: Response) -> V | None:
        existed, old = method.parse(response).results
        return form(old) if existed and isinstance(old, bytes) else None

    return Method(method.request, parse)


def incr(key: Text, by: int) -> Method[int]:
    """Add to a number; the result is the sum."""
    return integer("incrby", key, whole(by, "what is added"))


def expire(key: Text, lifetime: Lifetime) -> Method[bool]:
    """Set a time to live; the result is whether there is such a key."""
    return boolean("expire", key, seconds(lifetime))


def exists(keys: Sequence[Text]) -> Method[int]:
    """The number of keys that exist."""
    return integer("exists", *keys) if keys else known(0)


def setrange(key: Text, offset: int, value: Text) -> Method[int]:
    """Overwrite a part of a value; the result is its new length in bytes."""
    return integer("setrange", key, whole(offset, "an offset"), value)


def integer(name: str, *arguments: Text) -> Method[int]:
    """A command whose result is a number."""
    return _command(name, arguments, _integer)


def boolean(name: str, *arguments: Text) -> Method[bool]:
    """A command whose result is 1 or 0."""
    return _command(name, arguments, lambda answer: _integer(answer) != 0)


def status_only(name: str, *arguments: Text) -> Method[None]:
    """A command that answers `OK` and nothing else."""
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
    """Store all pairs in one entry of the log."""
    arguments = pairs_of(pairs)
    return status_only("mset", *arguments) if arguments else known(None)


def key_page(
    form: Form[V], prefix: Text, after: Text | None, limit: int, *, values: bool, consistency: Consistency
) -> Method[KeyPage[V]]:
    """A page of up to `limit` keys that begin with `prefix` and come after `after`, in order."""
    _check_one_of("consistency", consistency, CONSISTENCIES)
    query = {"prefix": quote(to_bytes(prefix), safe=""), "limit": str(whole(limit, "the limit"))}
    if after is not None:
        query["after"] = quote(to_bytes(after), safe="")
    if not values:
        query["values"] = "false"
    if consistency != LINEARIZABLE:
        query["consistency"] = consistency
    target = "/v1/keys?" + "&".join(f"{name}={text}" for name, text in query.items())
    request = Request("GET", target, None, Kind.ANY_NODE if consistency == "stale" else Kind.READ)
    return Method(request, lambda response: answers.key_page_of(response, form))


def transact(
    form: Form[V],
    commands: Iterable[Command],
    watch: Mapping[bytes, int],
    mode: Mode,
    *,
    watched_at: int = 0,
    compare: Iterable[Comparison] = (),
    otherwise: Iterable[Command] = (),
) -> Method[TransactionAnswer]:
    """Execute commands as one entry of the log, if all keys of `watch` still have their revisions, the earliest of
    which was read at the index `watched_at` (0: nobody says). Without commands it only checks the revisions, and is a
    read. With `compare` it branches. Raises `RequestRefused` for a mode that does not exist, and for commands to be
    executed otherwise where there is no condition."""
    _check_one_of("mode", mode, MODES)
    listed, others, conditions = commands_of(commands), commands_of(otherwise), comparisons_to_json(compare)
    if others and not conditions:
        raise RequestRefused("bad_request", "commands to execute otherwise, without a condition")
    names = [name for name, _ in listed]
    names_otherwise = [name for name, _ in others] if conditions else None
    content: dict[str, object] = {"commands": [_worded(*command) for command in listed], "mode": mode}
    if watch:
        content["watch"] = [[bytes_to_json(key), revision] for key, revision in watch.items()]
    if watch and watched_at:
        content["watched_at"] = watched_at
    if conditions:
        content["compare"] = conditions
        content["else"] = [_worded(*command) for command in others]
    request = Request(
        "POST",
        "/v1/transaction",
        content,
        Kind.WRITE if listed or others else Kind.READ,
        binds=any(_binds(*command) for command in (*listed, *others)),
    )
    return Method(
        request, lambda response: answers.transaction_answer_of(names, response, form, names_otherwise)
    )


def _command(name: str, arguments: Sequence[Text], parse: Callable[[Answer], T]) -> Method[T]:
    request = _execution(name, arguments, LINEARIZABLE)
    return Method(request, lambda response: parse(answers.answer_of(name, response, as_bytes)))


def _integer(answer: Answer) -> int:
    if type(answer.value) is not int:
        raise RemoteProtocolError("the answer is not a number, as it should be")
    return answer.value


def _bytes(answer: Answer) -> bytes:
    if not isinstance(answer.value, bytes):
        raise RemoteProtocolError("the answer is not a string, as it should be")
    return answer.value


def _execution(name: str, arguments: Iterable[Text], consistency: Consistency) -> Request:
    """The request of one command. Raises `RequestRefused` for a consistency that does not exist."""
    _check_one_of("consistency", consistency, CONSISTENCIES)
    spec = lookup(name)
    kind = Kind.WRITE
    if spec is not None and spec.access is Access.READ:
        kind = Kind.ANY_NODE if consistency == "stale" else Kind.READ
    words = list(map(to_bytes, arguments))
    rest, wait_ms = split_wait(name, words)
    content = _worded(name, rest)
    if consistency != LINEARIZABLE:
        content["consistency"] = consistency
    takes_turns = bool(wait_ms) and spec is not None and takes_turns_in_line(spec)
    return Request("POST", "/v1/execute", content, kind, wait_ms or None, takes_turns, _binds(name, words))


def _binds(name: str, arguments: Sequence[bytes]) -> bool:
    """Whether a command binds a key to the session that asks. What is malformed the node refuses."""
    if name.lower() != "set" or b"SESSION" not in map(bytes.upper, arguments[2:]):
        return False
    try:
        command = parse(name, arguments)
    except RequestRefused:
        return False
    return isinstance(command, Set | FencedSet) and command.binding is Binding.SESSION


def _worded(name: str, arguments: Iterable[Text]) -> dict[str, object]:
    return {"command": name, "args": [bytes_to_json(argument) for argument in arguments]}


def _check_one_of(what: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise RequestRefused("bad_request", f"{what} must be one of: {', '.join(known)}")
