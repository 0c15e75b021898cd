"""The table of roles and messages, and the other places that must know every message."""

from itertools import product

import pytest

from raftdb.core.describe import describe_trace
from raftdb.core.messages import (
    MESSAGE_TYPES,
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import Entry, EntryKind, Role
from raftdb.core.raft import HANDLERS, STEPS, second_leader
from raftdb.core.update import Trace
from tests.blocks import blocks
from tests.core.cluster import encode_members
from tests.core.direct import ME, Direct, command
from tests.core.words import describe_entry, describe_message

EXAMPLES: dict[type[Message], Message] = {
    type(message): message
    for message in (
        RequestPreVote("n2", ME, 2, 1, 1),
        RequestPreVoteReply("n2", ME, 2, True),
        RequestVote("n2", ME, 2, 1, 1),
        RequestVoteReply("n2", ME, 2, True),
        AppendEntries("n2", ME, 2, 1, 1, 1, blocks([command(2, 2, b"a")])),
        AppendEntriesReply("n2", ME, 2, 1, True, 1),
        Heartbeat("n2", ME, 2, 1, 7),
        HeartbeatReply("n2", ME, 2, 7),
        InstallSnapshot("n2", ME, 2, 5, 2, 1, encode_members(("n1", "n2", "n3")), 70_000, bytes(32)),
        TimeoutNow("n2", ME, 2, 9, 2),
        ReadIndex("n2", ME, 2, 41),
        ReadIndexReply("n2", ME, 2, 41, 9),
    )
}


def test_every_role_knows_what_to_do_with_every_message() -> None:
    assert set(HANDLERS) == set(product(Role, MESSAGE_TYPES))
    assert set(EXAMPLES) == set(MESSAGE_TYPES) == set(Message.__args__)


def test_every_event_has_its_step() -> None:
    from raftdb.core import events

    assert set(STEPS) == set(events.Event.__args__)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("message", EXAMPLES.values(), ids=lambda message: type(message).__name__)
def test_every_role_takes_every_message_of_its_own_term(role: Role, message: Message) -> None:
    """In term 2, where the role is held. Nothing that a peer says stops the node."""
    node = Direct(term=2)
    if role is Role.PRE_CANDIDATE:
        node.tick(10)
    elif role in (Role.CANDIDATE, Role.LEADER):
        node = Direct()
        node.become_candidate() if role is Role.CANDIDATE else node.become_leader()
    assert (node.state.role, node.state.term) == (role, 2)
    node.receive(message)
    assert node.state.term == 2
    if HANDLERS[role, type(message)] is second_leader:
        assert node.state.role is Role.FOLLOWER


def test_every_message_can_be_told() -> None:
    told = [describe_message(EXAMPLES[kind]) for kind in MESSAGE_TYPES]
    assert told == [
        "n2 -> n1 request_pre_vote term=2 last=1@1",
        "n2 -> n1 pre_vote yes term=2",
        "n2 -> n1 request_vote term=2 last=1@1",
        "n2 -> n1 vote yes term=2",
        "n2 -> n1 append_entries term=2 after=1@1 commit=1 [2@2 a]",
        "n2 -> n1 append_entries ok term=2 match=1",
        "n2 -> n1 heartbeat term=2 round=7 commit=1",
        "n2 -> n1 heartbeat ok term=2 round=7",
        "n2 -> n1 install_snapshot term=2 last=5@2",
        "n2 -> n1 timeout_now term=2 last=9@2",
        "n2 -> n1 read_index term=2 number=41",
        "n2 -> n1 read_index ok term=2 number=41 index=9",
    ]
    assert describe_message(RequestVote("n2", ME, 2, 1, 1, transfer=True)).endswith(" transfer")
    refusal = AppendEntriesReply("n2", ME, 2, 5, False, 0, 3, 1)
    assert describe_message(refusal) == "n2 -> n1 append_entries rejected term=2 after=5 hint=3@1"


def test_entries_and_traces_can_be_told() -> None:
    assert describe_entry(Entry(2, 1, EntryKind.NOOP, b"")) == "2@1 no-op"
    assert describe_entry(command(2, 1, b"a\xff")) == "2@1 a\\xff"
    assert describe_entry(command(2, 1, b"a" * 40)) == "2@1 aaaaaaaa... (40 bytes)"
    trace = Trace("lost", (("by", "n1"), ("why", "no reason"), ("nodes", ("n2", "n3")), ("leader", None)))
    assert describe_trace(trace) == 'lost by=n1 why="no reason" nodes=n2,n3'
