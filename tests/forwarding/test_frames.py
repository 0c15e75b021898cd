"""Requests and answers as bytes, and bytes that are none."""

from inspect import signature

import pytest

from raftdb.errors import (
    CommandFailed,
    Conflict,
    Deadlock,
    Fenced,
    LocalProtocolError,
    OutcomeUnknown,
    RemoteProtocolError,
    RequestRefused,
    SessionExpired,
    Unavailable,
)
from raftdb.forwarding.frames import (
    FRAME_BYTES_TARGET,
    ROWS_PER_FRAME_MAX,
    Outcome,
    Request,
    decode_answers,
    decode_requests,
    encode_answers,
    encode_operation,
    encode_outcome,
    encode_requests,
    frames_of,
)
from raftdb.machine import entries
from raftdb.machine.drawing import DrawKey
from raftdb.machine.operations import (
    Expire,
    SessionOperation,
    Submission,
    TransactionOperation,
    UserOperation,
)
from raftdb.machine.reply import KeyRecord, Page, Result
from raftdb.machine.revisions import ReadRevisions
from raftdb.machine.scanning import ReadPage
from raftdb.machine.service import Command
from raftdb.machine.services import QUERIES
from raftdb.machine.sessions import RegisterSession
from raftdb.machine.strings import Get, Set
from raftdb.machine.users.service import ReadUsers
from raftdb.node.held import payload_of
from raftdb.node.turn import Answer
from raftdb.wire import cbor
from raftdb.wire.frames import seal
from tests.machine.toys import Sit, Take, toys

OPERATIONS: list[Submission] = [
    Get(b"k"),
    RegisterSession(b"n" * 16),
    SessionOperation(b"n" * 16, 7, 3, Set(b"k", b"v")),
    SessionOperation(b"n" * 16, 8, 3, TransactionOperation((Get(b"k"),), ((b"k", 5),))),
    ReadPage(b"a", b"b", 7, False),
    DrawKey(b"lots"),
    ReadRevisions((b"a", b"b")),
    ReadUsers(),
    UserOperation(b"ana", 7, SessionOperation(b"n" * 16, 9, 3, Set(b"k", b"v"))),
    UserOperation(b"ana", 7, Get(b"k")),
    UserOperation(b"ana", 7, ReadPage(b"a", b"b", 7, False)),
]
RECORD = KeyRecord(b"k", None, 5, 1000, 10)
OUTCOMES: list[Outcome] = [
    Answer(None, 0, 0, None),
    Answer(b"\x00\xff", 5, 2, 3),
    Answer([b"a", None, True, -(2**63)], 5, 2),
    Answer([Result(b"v", 3), CommandFailed("no", code="wrong_type"), Result([None], None)], 5, 2),
    Answer(Page([RECORD, RECORD._replace(value=b"v")], b"next"), 5, 2),
    Answer(RECORD, 5, 2),
    CommandFailed("it failed", hint="do not", failed_command=2),
    Conflict("changed", keys=(b"a", b"\xff")),
    Fenced("over", failed_command=1),
    Deadlock("for ever", cycle=((b"a", b"l"), (b"b", b"m"))),
    SessionExpired("gone"),
    Unavailable("busy", "too much", hint="wait"),
    RequestRefused("too_large", "long"),
]


def described(outcome: object) -> object:
    """What `==` compares of an outcome; errors have no equality."""
    if isinstance(outcome, Exception):
        return type(outcome), outcome.__dict__
    if isinstance(outcome, list):
        return [described(element) for element in outcome]
    if isinstance(outcome, Answer | Result):
        return type(outcome), outcome._replace(value=described(outcome.value))
    return type(outcome), outcome


def test_requests_arrive_as_they_were() -> None:
    requests = [Request(n, operation, encode_operation(operation)) for n, operation in enumerate(OPERATIONS)]
    assert decode_requests(encode_requests(requests)) == requests


def test_requests_that_wait_and_their_ends_arrive_as_they_were() -> None:
    with toys():
        asked: tuple[Command | SessionOperation, ...] = (
            Take(b"b", 2),
            SessionOperation(b"n" * 16, 2, 1, Take(b"b")),
            Sit(b"s", b"me"),
        )
        requests = [Request(n, each, payload_of(each), 50_000 * n) for n, each in enumerate(asked)]
        requests += [Request(9, None, b""), Request(10, None, b"", 0)]
        assert decode_requests(encode_requests(requests)) == requests


@pytest.mark.parametrize(
    "row",
    [
        (1, 2, encode_operation(Get(b"k")), 500),
        (1, 2, encode_operation(Get(b"k"))),
        (1, 0, encode_operation(Get(b"k")), 500),
        (1, 5, b""),
        (1, 4, b"", 0),
        (1, -1, b""),
        (1, 2, b"", -1),
    ],
)
def test_what_cannot_wait_is_refused(row: tuple[object, ...]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_requests(seal(cbor.encode([row])))


def test_every_query_that_redis_commands_make_can_be_passed_on() -> None:
    """The others are asked by HTTP, or by the node for itself."""
    left_out = QUERIES.keys() - {type(operation) for operation in OPERATIONS}
    names = {"ReadRecord", "ReadStored", "ReadQueueLevels", "ReadLockLevels"}
    names |= {"ReadRoles", "ReadTokens"}
    assert {query.__name__ for query in left_out} == names
    for query in left_out:
        with pytest.raises(LocalProtocolError):
            encode_operation(query(*[b"k"] * len(signature(query).parameters)))


def test_answers_arrive_as_they_were() -> None:
    answers = [(number, encode_outcome(outcome)) for number, outcome in enumerate(OUTCOMES)]
    decoded = decode_answers(encode_answers(answers))
    assert [number for number, _ in decoded] == list(range(len(OUTCOMES)))
    assert [described(outcome) for _, outcome in decoded] == [described(outcome) for outcome in OUTCOMES]


def test_an_answer_that_no_frame_could_hold_is_an_error_and_an_unknown_outcome_is_none() -> None:
    body = encode_outcome(Answer([b"v" * (1 << 20)] * 17, 5, 2))
    ((_, outcome),) = decode_answers(encode_answers([(1, body)]))
    assert isinstance(outcome, RequestRefused)
    with pytest.raises(LocalProtocolError):
        encode_outcome(OutcomeUnknown("who knows"))


def test_frames_are_filled_up_to_their_limits() -> None:
    rows = [(size,) for size in (5, FRAME_BYTES_TARGET, 1, *[0] * 300)]
    frames = list(frames_of(rows, lambda row: row[0]))
    assert [row for frame in frames for row in frame] == rows
    assert [len(frame) for frame in frames] == [1, 1, ROWS_PER_FRAME_MAX, 301 - ROWS_PER_FRAME_MAX]
    assert list(frames_of([], lambda row: 0)) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234",
        encode_requests([])[:-1],
        seal(cbor.encode({})),
        seal(cbor.encode([1])),
        seal(cbor.encode([[1, False]])),
        seal(cbor.encode([[-1, False, b""]])),
        seal(cbor.encode([[1, 0, b""]])),
        seal(cbor.encode([[1, False, b""]])),
        seal(cbor.encode([[1, False, entries.encode(Expire())]])),
        seal(cbor.encode([[1, False, cbor.encode([1, 2, 3, 4, 5, 6])]])),
        seal(cbor.encode([[1, True, b""]])),
        seal(cbor.encode([[1, True, cbor.encode([9, b"k"])]])),
        seal(cbor.encode([[1, True, cbor.encode([[], b"k"])]])),
        seal(cbor.encode([[1, True, cbor.encode([2, "k"])]])),
        seal(cbor.encode([[1, True, cbor.encode([3, [1]])]])),
        seal(cbor.encode([[1, False, b"\xf6"]] * (2 * ROWS_PER_FRAME_MAX))),
    ],
)
def test_what_is_no_frame_of_requests_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_requests(data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        cbor.encode(5),
        cbor.encode([]),
        cbor.encode([4, "busy", "m", None]),
        cbor.encode([0, 1, 2, 3]),
        cbor.encode([0, 1, "2", 3, None]),
        cbor.encode([0, {"x": 1}, 2, 3, None]),
        cbor.encode([0, {"r": 1}, 2, 3, None]),
        cbor.encode([0, {"p": [[[1]], None]}, 2, 3, None]),
        cbor.encode([0, {}, 2, 3, None]),
        cbor.encode([1, "code"]),
        cbor.encode([2, "busy", "m", 5]),
        cbor.encode([3, None, "m", None]),
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_answers(seal(cbor.encode([[1, body]])))
