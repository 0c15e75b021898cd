"""Apply is a function: of hostile commands too (hazard B67), and by the look of its source (hazard B63)."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raftdb.machine
from raftdb.errors import Fatal, RaftdbError, ReplyError
from raftdb.limits import TIME_MS_MAX
from raftdb.machine.entries import encode, stamp
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Operation, SessionOperation, WaitingOperation, asked_of
from raftdb.machine.reply import Repetition, Reply, Result
from raftdb.machine.sessions import RegisterSession
from raftdb.wire import cbor
from tests.machine.database import changes_but_clock, check_books
from tests.machine.views import DictionaryView
from tests.wire.strategies import HOSTILE_BYTES, PLAIN_VALUES, operations

FEW_KEYS = st.one_of(st.sampled_from([b"a", b"b"]), HOSTILE_BYTES)
SESSIONS = [b"s" * 16, b"t" * 16]
STEPS_MS = st.sampled_from([0, 0, 1, 1_000, 4_000_000, -5_000])


def shown(reply: object) -> object:
    """A reply as something that can be compared, errors included."""
    if isinstance(reply, RaftdbError):
        return type(reply), vars(reply)
    if isinstance(reply, list | tuple):
        return type(reply), [shown(part) for part in reply]
    return type(reply), reply


def write_down(view: DictionaryView, layer: Layer) -> None:
    """As a store does it."""
    for key, value in layer.changes.items():
        assert 0 < len(key) <= 511
        view.pairs.pop(key, None)
        if value is not None:
            view.pairs[key] = value


def is_in_session(operation: Operation) -> bool:
    """Whether it is kept what came of it, be it an error."""
    asked = asked_of(operation)
    return isinstance(asked.operation if isinstance(asked, WaitingOperation) else asked, SessionOperation)


@given(st.lists(st.tuples(operations(FEW_KEYS), STEPS_MS), max_size=20))
def test_hostile_operations_are_answered_and_replicas_agree(log: list[tuple[Operation, int]]) -> None:
    """One replica applies in one transaction, the other writes each entry down and starts anew."""
    machine = Machine()
    together = Layer(DictionaryView())
    apart = DictionaryView()
    now_ms = 10_000
    beginning: list[tuple[Operation, int]] = [(RegisterSession(name), 0) for name in SESSIONS]
    for index, (operation, step_ms) in enumerate([*beginning, *log], start=1):
        now_ms = max(0, now_ms + step_ms)
        data = stamp(encode(operation), now_ms)
        before = dict(together.changes)
        reply: Reply = machine.apply(index, 3, data, together).reply
        one = Layer(apart)
        assert shown(machine.apply(index, 3, data, one).reply) == shown(reply)
        write_down(apart, one)
        assert isinstance(reply, Result | Repetition | ReplyError)
        if isinstance(reply, ReplyError) and not is_in_session(operation):
            assert changes_but_clock(together.changes) == changes_but_clock(before)
            assert changes_but_clock(one.changes) == {}
    assert together.scan(b"", None, limit=1000) == apart.scan(b"", None, limit=1000)
    check_books(together)


@given(
    st.sampled_from([*range(1, 21), *range(63, 70)]),
    st.lists(PLAIN_VALUES | st.lists(HOSTILE_BYTES, max_size=4) | st.just(SESSIONS[0]), max_size=4),
    st.sampled_from([0, 1, TIME_MS_MAX]),
)
def test_hostile_entries_are_answered_or_stop_the_node(
    number: int, fields: list[object], time_ms: int
) -> None:
    """Integers of any size, text for bytes, too many fields: what no leader of ours encodes."""
    layer = Layer(DictionaryView({b"ka": b"\x01" + bytes(15) + b"\x01x"}))
    try:
        reply = Machine().apply(1, 1, stamp(cbor.encode([number, *fields]), time_ms), layer).reply
    except Fatal:
        assert layer.changes == {}
    else:
        assert isinstance(reply, Result | ReplyError)


@given(operations(FEW_KEYS), operations(FEW_KEYS))
def test_the_latest_time_that_an_entry_may_bear_is_survived(first: Operation, second: Operation) -> None:
    """Nothing that is reckoned from it leaves 64 bits (hazard B67)."""
    layer = Layer(DictionaryView())
    for index, operation in enumerate((RegisterSession(SESSIONS[0]), first, second), start=1):
        Machine().apply(index, 1, stamp(encode(operation), TIME_MS_MAX), layer)
    Machine().next_deadline_ms(layer)


@pytest.mark.parametrize("delta", [2**63, -(2**63) - 1, 2**64 - 1, -(2**64)])
def test_an_integer_that_no_leader_encodes_is_part_of_no_entry(delta: int) -> None:
    """What passes requests on is refused with it before the log; in the log it is an entry that nobody knows."""
    for parts in ([8, b"k", delta], [3, b"k", b"v", delta, 1, 0], [17, b"", b"", delta]):
        layer = Layer(DictionaryView())
        with pytest.raises(Fatal, match="more than 64 bits"):
            Machine().apply(1, 1, stamp(cbor.encode(parts), 0), layer)
        assert layer.changes == {}


FORBIDDEN_MODULES = frozenset(
    (
        "time",
        "datetime",
        "random",
        "secrets",
        "uuid",
        "os",
        "sys",
        "socket",
        "threading",
        "asyncio",
        "storage",
        "lmdb",
    )
)
FORBIDDEN_NAMES = frozenset(
    ("hash", "id", "set", "frozenset", "vars", "globals", "open", "input", "eval", "exec")
)


def violations(source: str) -> list[str]:
    """What the source of the machine must not contain: outside state, identity of objects, sets, broad `except`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += (
                [node.module or "."] if (node.module or ".").partition(".")[0] in FORBIDDEN_MODULES else []
            )
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in FORBIDDEN_NAMES:
            found.append(node.id)
        elif isinstance(node, ast.Set | ast.SetComp):
            found.append("a set")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append("a float")
        elif isinstance(node, ast.ExceptHandler) and (
            node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
        ):
            found.append("a broad except")
    return found


def test_the_source_of_the_machine_is_deterministic() -> None:
    (folder,) = raftdb.machine.__path__
    files = sorted(Path(folder).glob("**/*.py"))
    assert len(files) >= 6
    assert {file.name: violations(file.read_text()) for file in files} == {file.name: [] for file in files}


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from random import randrange",
        "from uuid import uuid4",
        "hash(key)",
        "sorted(keys, key=id)",
        "for key in {1, 2}: pass",
        "{key for key in keys}",
        "set(keys)",
        "x = 0.5",
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept: pass",
    ],
)
def test_what_is_not_deterministic_is_found(source: str) -> None:
    assert violations(source)
