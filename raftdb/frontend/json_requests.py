"""The bodies of requests about data, and the operations made of them (docs/interface.md, section 3)."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec

from raftdb.commands.transactions import build_transaction, fenced, is_read
from raftdb.commands.waiting import check_wait, parse_waiting
from raftdb.errors import RequestRefused
from raftdb.frontend.json_values import Base64Bytes, bytes_of, decode_body
from raftdb.frontend.node_api import Consistency
from raftdb.limits import SESSION_TTL_MS_MAX, SESSION_TTL_MS_MIN, WAIT_MS_MAX, Limits
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.records import LockMode
from raftdb.machine.operations import (
    Comparison,
    GuardedOperation,
    Mode,
    Relation,
    SessionOperation,
    TransactionOperation,
    Work,
)
from raftdb.machine.service import Command
from raftdb.machine.session_records import SESSION_NAME_BYTES
from raftdb.machine.sessions import KeepSession, RegisterSession

NUMBER_MAX = 2**63 - 1
"""Largest sequence and revision."""

SequenceNumber: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=NUMBER_MAX)]
Revision: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=-NUMBER_MAX - 1, le=NUMBER_MAX)]
"""A whole number among the arguments of a command."""

Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=WAIT_MS_MAX)]
"""For how long a request may be held."""

SessionTtl: TypeAlias = Annotated[int, msgspec.Meta(ge=SESSION_TTL_MS_MIN, le=SESSION_TTL_MS_MAX)]
"""The time to live of a session, in milliseconds."""

_RELATIONS = {
    "=": Relation.EQUAL,
    "!=": Relation.NOT_EQUAL,
    "<": Relation.LESS,
    ">": Relation.GREATER,
}
_MODES = {"redis": Mode.REDIS, "atomic": Mode.ATOMIC}
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class SessionPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The session of a request, and its sequence there. `acknowledged` is `seq` by default."""

    id: str
    seq: SequenceNumber
    acknowledged: SequenceNumber | None = None


class FencePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fence: the token of a lock, which others may share with `shared`."""

    token: SequenceNumber
    shared: bool = False


Fences: TypeAlias = dict[str, Revision | FencePart] | list[tuple[str | Base64Bytes, Revision | FencePart]]
"""Tokens by the names of their locks, or pairs of these for names that are not UTF-8."""


class ExecuteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/execute. `wait_ms` is another spelling of the argument WAIT. With `fences` the command is
    executed only if these locks are held."""

    command: str
    args: list[str | Number | Base64Bytes] = []
    consistency: Consistency = "linearizable"
    session: SessionPart | None = None
    wait_ms: Milliseconds | None = None
    fences: Fences = {}


class CommandPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One command of a transaction."""

    command: str
    args: list[str | Number | Base64Bytes] = []


class ComparePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition on one key: whether it exists, or how its revision or its value compares."""

    key: str | Base64Bytes
    exists: bool | None = None
    revision: Revision | None = None
    value: str | Base64Bytes | None = None
    relation: Literal["=", "!=", "<", ">"] = "="


class TransactionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/transaction. `watch` may also be a list of pairs, because keys that are not UTF-8 cannot be
    names in JSON."""

    commands: list[CommandPart]
    compare: list[ComparePart] = []
    otherwise: list[CommandPart] = msgspec.field(default_factory=list, name="else")
    watch: dict[str, Revision] | list[tuple[str | Base64Bytes, Revision]] = {}
    watched_at: Revision = 0
    mode: Literal["redis", "atomic"] = "redis"
    session: SessionPart | None = None
    fences: Fences = {}


class SessionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/sessions."""

    id: str
    ttl_ms: SessionTtl | None = None


class KeepBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/sessions/{id}, if it has one."""

    ttl_ms: SessionTtl | None = None


_execute_decoder = msgspec.json.Decoder(ExecuteBody)
_transaction_decoder = msgspec.json.Decoder(TransactionBody)
_session_decoder = msgspec.json.Decoder(SessionBody)
_keep_decoder = msgspec.json.Decoder(KeepBody)


class Execution(NamedTuple):
    """A command as POST /v1/execute asks for it: its name as it was sent, the operation, the consistency of a read, and
    for how long it may be held, 0 if not."""

    name: str
    operation: Command | GuardedOperation | SessionOperation
    consistency: Consistency
    wait_ms: int


def execute_of(body: bytes, *, limits: Limits) -> Execution:
    """What the body asks for. A session given with a read is ignored. Raises RequestRefused."""
    request = decode_body(_execute_decoder, body, example='{"command": "get", "args": ["kunci"]}')
    command, wait_ms = parse_waiting(
        request.command, [bytes_of(argument) for argument in request.args], limits=limits
    )
    if request.wait_ms is not None:
        if wait_ms is not None:
            raise RequestRefused("bad_request", "wait_ms and WAIT are one thing", hint="send one of them")
        wait_ms = request.wait_ms
        check_wait(command, wait_ms)
    work = fenced(command, _fences_of(request.fences))
    if wait_ms and work is not command:
        raise RequestRefused("bad_request", "what waits has no fences", hint="leave the wait out")
    if request.session is None or is_read(work):
        return Execution(request.command, work, request.consistency, wait_ms or 0)
    operation = in_session(request.session, work)
    return Execution(request.command, operation, request.consistency, wait_ms or 0)


def transaction_of(
    body: bytes, *, limits: Limits
) -> tuple[Sequence[str], TransactionOperation | GuardedOperation | SessionOperation]:
    """The names of the commands as they were sent, none if it branches, and the transaction. Raises RequestRefused."""
    request = decode_body(
        _transaction_decoder, body, example='{"commands": [{"command": "incr", "args": ["kunci"]}]}'
    )
    watch = request.watch
    pairs: Sequence[tuple[str | Base64Bytes, int]] = [*watch.items()] if isinstance(watch, dict) else watch
    transaction = build_transaction(
        _words_of(request.commands),
        comparisons=list(map(_comparison_of, request.compare)),
        otherwise=_words_of(request.otherwise),
        watched=[(bytes_of(key), revision) for key, revision in pairs],
        watched_at=request.watched_at,
        mode=_MODES[request.mode],
        limits=limits,
    )
    names = [] if request.compare else [part.command for part in request.commands]
    work = fenced(transaction, _fences_of(request.fences))
    return names, work if request.session is None else in_session(request.session, work)


def _words_of(commands: Sequence[CommandPart]) -> list[tuple[str, list[bytes]]]:
    return [(part.command, [bytes_of(argument) for argument in part.args]) for part in commands]


def _comparison_of(part: ComparePart) -> Comparison:
    """The condition of a request. Raises RequestRefused."""
    key, relation = bytes_of(part.key), _RELATIONS[part.relation]
    given = [each for each in (part.exists, part.revision, part.value) if each is not None]
    if len(given) != 1 or (part.exists is not None and relation is not Relation.EQUAL):
        raise RequestRefused(
            "bad_request",
            'a condition says one of "exists", "revision" and "value"',
            hint='{"key": "kunci", "value": "satu", "relation": "!="}',
        )
    if part.exists is not None:
        return Comparison(key, Relation.NOT_EQUAL if part.exists else Relation.EQUAL, 0)
    return Comparison(key, relation, part.revision if part.value is None else bytes_of(part.value))  # type: ignore[arg-type]  # one of them is given


def _fences_of(fences: Fences) -> tuple[Fence, ...]:
    """The fences of a request. Raises RequestRefused."""
    pairs: Sequence[tuple[str | Base64Bytes, int | FencePart]]
    pairs = [*fences.items()] if isinstance(fences, dict) else fences
    found = []
    for name, part in pairs:
        token, shared = (part.token, part.shared) if isinstance(part, FencePart) else (part, False)
        found.append(Fence(bytes_of(name), token, LockMode.SHARED if shared else LockMode.EXCLUSIVE))
    return tuple(found)


def session_of(body: bytes) -> RegisterSession:
    """The registration of a session. Raises RequestRefused."""
    request = decode_body(_session_decoder, body, example='{"id": "32 hexadecimal digits"}')
    return RegisterSession(session_name(request.id), ttl_ms=request.ttl_ms or 0)


def kept_session(name: bytes, body: bytes) -> KeepSession:
    """What keeps a session. Raises RequestRefused."""
    request = decode_body(_keep_decoder, body or b"{}", example='{"ttl_ms": 15000}')
    return KeepSession(name, request.ttl_ms or 0)


def session_name(text: str) -> bytes:
    """The name of a session in `text`, hexadecimal digits of any case. Raises RequestRefused."""
    if len(text) != 2 * SESSION_NAME_BYTES or not _HEX_DIGITS.issuperset(text):
        raise RequestRefused(
            "bad_request",
            f"the id of a session has {2 * SESSION_NAME_BYTES} hexadecimal digits",
            hint="the client draws it at random",
        )
    return bytes.fromhex(text)


def in_session(part: SessionPart, operation: Work) -> SessionOperation:
    """`operation` in the session of a request. Raises RequestRefused."""
    acknowledged = part.seq if part.acknowledged is None else part.acknowledged
    if acknowledged > part.seq:
        raise RequestRefused(
            "bad_request", "acknowledged is above seq", hint="it is the lowest sequence still waited for"
        )
    return SessionOperation(session_name(part.id), part.seq, acknowledged, operation)
