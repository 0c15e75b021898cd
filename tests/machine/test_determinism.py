"""Apply is a function: of hostile commands too (hazard B67), and by the look of its source (hazard B63)."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raftdb.machine
from raftdb.commands.model import Command
from raftdb.errors import Fatal, ReplyError
from raftdb.machine.machine import Machine
from raftdb.machine.reply import Result
from raftdb.machine.transaction import Transaction
from raftdb.wire import cbor
from raftdb.wire.commands import encode
from tests.machine.views import DictionaryView
from tests.wire.strategies import HOSTILE_BYTES, PLAIN_VALUES, commands

FEW_KEYS = st.one_of(st.sampled_from([b"a", b"b"]), HOSTILE_BYTES)


@given(st.lists(commands(FEW_KEYS), max_size=20))
def test_hostile_commands_are_answered_and_replicas_agree(log: list[Command]) -> None:
    """One replica applies in one transaction, the other writes each entry down and starts anew."""
    machine = Machine()
    together = Transaction(DictionaryView())
    apart = DictionaryView()
    for index, command in enumerate(log, start=1):
        data = encode(command)
        before = dict(together.changes)
        reply = machine.apply(index, data, together)
        one = Transaction(apart)
        other = machine.apply(index, data, one)
        for key, value in one.changes.items():
            assert 0 < len(key) <= 511
            apart.pairs.pop(key, None)
            if value is not None:
                apart.pairs[key] = value
        if isinstance(reply, ReplyError):
            assert isinstance(other, ReplyError)
            assert (reply.message, reply.hint, reply.code) == (other.message, other.hint, other.code)
            assert together.changes == before
            assert one.changes == {}
        else:
            assert isinstance(reply, Result)
            assert reply == other
    assert together.scan(b"", None, limit=1000) == apart.scan(b"", None, limit=1000)


@given(st.integers(1, 10), st.lists(PLAIN_VALUES | st.lists(HOSTILE_BYTES, max_size=4), max_size=3))
def test_hostile_entries_are_answered_or_stop_the_node(number: int, fields: list[object]) -> None:
    """Integers of any size, text for bytes, too many fields: what no leader of ours encodes."""
    transaction = Transaction(DictionaryView({b"ka": b"\x01" + bytes(15) + b"\x01x"}))
    try:
        reply = Machine().apply(1, cbor.encode([1, number, *fields]), transaction)
    except Fatal:
        assert transaction.changes == {}
    else:
        assert isinstance(reply, Result | ReplyError)


@pytest.mark.parametrize("delta", [2**63, -(2**63) - 1, 2**64 - 1, -(2**64)])
def test_an_integer_that_no_leader_encodes_is_answered(delta: int) -> None:
    reply = Machine().apply(1, cbor.encode([1, 8, b"k", delta]), Transaction(DictionaryView()))
    assert isinstance(reply, ReplyError)
    assert reply.message == "value is not an integer or out of range"


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
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
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
