"""Entries of the log as a page of `request_log` shows them."""

from typing import Any

import pytest
from hypothesis import given

from raftdb.commands.spec import COMMANDS
from raftdb.core.membership import Configuration
from raftdb.core.model import Entry, EntryKind, Member
from raftdb.machine.editing import Append
from raftdb.machine.entries import encode, stamp
from raftdb.machine.operations import (
    Comparison,
    Expire,
    Mode,
    Operation,
    Relation,
    SessionOperation,
    TransactionOperation,
    WaitingOperation,
)
from raftdb.machine.session_records import shown_session
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import Get, Set
from raftdb.node.describe import describe_entries
from raftdb.wire.configuration import encode_configuration
from tests.addresses import at
from tests.wire.strategies import operations

NAME = bytes(range(16))
SESSION = {"id": shown_session(bytes(range(16))), "seq": 7, "acknowledged": 5}
SEVERAL = TransactionOperation((Set(b"a", b"1"), Get(b"b")), ((b"k", 12), (b"x", 0)), Mode.ATOMIC)


def described(operation: Operation) -> dict[str, Any]:
    """What is shown of it beside its place; it was proposed at 500 ms."""
    (shown,) = describe_entries([Entry(9, 3, EntryKind.COMMAND, stamp(encode(operation), 500))])
    assert (shown.pop("index"), shown.pop("term"), shown.pop("kind"), shown.pop("time_ms")) == (
        *(9, 3, "command", 500),
    )
    return shown


@pytest.mark.parametrize(
    ("operation", "shown"),
    [
        (Append(b"k", b"\xff"), {"command": "append", "args": [b"k", b"\xff"]}),
        (Set(b"k", b"v", 1_000), {"command": "set", "args": [b"k", b"v", b"PX", b"1000"]}),
        (
            SEVERAL,
            {
                "command": "transaction",
                "args": [],
                "mode": "atomic",
                "watch": [[b"k", 12], [b"x", 0]],
                "commands": [
                    {"command": "set", "args": [b"a", b"1"]},
                    {"command": "get", "args": [b"b"]},
                ],
            },
        ),
        (
            WaitingOperation(SessionOperation(NAME, 7, 5, Append(b"k", b"v"))),
            {"command": "append", "args": [b"k", b"v"], "session": SESSION, "waits": True},
        ),
        (
            TransactionOperation(
                (Get(b"a"),), (), Mode.REDIS, (Comparison(b"k", Relation.LESS, 7),), (Set(b"a", b"1"),)
            ),
            {
                "command": "transaction",
                "args": [],
                "mode": "redis",
                "commands": [{"command": "get", "args": [b"a"]}],
                "compare": [[b"k", "<", 7]],
                "else": [{"command": "set", "args": [b"a", b"1"]}],
            },
        ),
        (
            TransactionOperation(()),
            {"command": "transaction", "args": [], "mode": "redis", "commands": []},
        ),
        (
            SessionOperation(NAME, 7, 5, Append(b"k", b"v")),
            {"command": "append", "args": [b"k", b"v"], "session": SESSION},
        ),
        (
            SessionOperation(NAME, 7, 5, TransactionOperation(())),
            {"command": "transaction", "args": [], "mode": "redis", "commands": [], "session": SESSION},
        ),
        (
            RegisterSession(NAME),
            {"command": "register_session", "args": [], "session": {"id": SESSION["id"]}},
        ),
        (CloseSession(NAME), {"command": "close_session", "args": [], "session": {"id": SESSION["id"]}}),
        (Expire(), {"command": "expire_due", "args": []}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_operations_are_shown_as_people_name_them(operation: Operation, shown: dict[str, Any]) -> None:
    assert described(operation) == shown


def test_names_of_operations_are_no_names_of_commands() -> None:
    names = {described(operation)["command"] for operation in (SEVERAL, RegisterSession(NAME), Expire())}
    assert not names & set(COMMANDS)


@given(operations())
def test_every_operation_can_be_shown(operation: Operation) -> None:
    assert isinstance(described(operation)["command"], str)


def test_entries_of_other_kinds_are_shown_without_a_time() -> None:
    members = encode_configuration(Configuration((Member("n1", at("h:1")),)))
    noop, configuration = describe_entries(
        [Entry(1, 1, EntryKind.NOOP, b""), Entry(2, 1, EntryKind.CONFIGURATION, members)]
    )
    assert noop == {"index": 1, "term": 1, "kind": "noop"}
    assert configuration["kind"] == "configuration"
    assert [member["id"] for member in configuration["members"]] == ["n1"]
    assert "time_ms" not in configuration
