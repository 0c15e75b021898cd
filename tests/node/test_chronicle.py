"""What happens on a node, for people who watch it."""

import logging

from raftdb.core.messages import AppendEntries, Heartbeat, RequestVoteReply
from raftdb.core.model import Entry, EntryKind
from raftdb.core.update import Trace
from raftdb.node.chronicle import AUDITED_MAX, AUDITED_OF_ONE_MAX, KEPT_MAX, Chronicle
from raftdb.server.logs import ChronicleHandler
from tests.blocks import blocks


def appended(*sizes: int) -> AppendEntries:
    entries = [Entry(index, 3, EntryKind.COMMAND, b"x" * size) for index, size in enumerate(sizes, 1)]
    return AppendEntries("n1", "n2", 3, 0, 0, 0, blocks(entries))


def test_what_is_rare_is_kept_with_plain_details_and_a_number() -> None:
    chronicle = Chronicle()
    chronicle.tell([Trace("became leader", (("term", 3), ("voters", ("n1", "n2"))))])
    chronicle.note(12.5, "peer up", {"peer": "n2", "address": object, "why": None}, "info")
    first, second = chronicle.after(0, 10)
    assert (first.number, first.what, first.details) == (
        1,
        "became leader",
        {"term": 3, "voters": ["n1", "n2"]},
    )
    assert (second.number, second.time_ms, second.details) == (
        2,
        12500,
        {"peer": "n2", "address": str(object)},
    )
    assert chronicle.after(1, 10) == [second]
    assert chronicle.after(0, 1) == [second]
    assert chronicle.after(2, 10) == []


def audited(chronicle: Chronicle, kind: str, **fields: object) -> None:
    """Note what a user did, as the log does."""
    record = logging.LogRecord("raftdb.audit", logging.WARNING, "", 0, kind, (), None)
    record.fields = fields
    ChronicleHandler(chronicle).emit(record)


def test_what_users_did_stands_apart_and_nobody_pushes_out_what_others_did() -> None:
    chronicle = Chronicle()
    for number in range(3):
        audited(chronicle, "asked for", by="admin", what=f"PUT {number}", nothing=None)
    for number in range(2 * AUDITED_OF_ONE_MAX):
        audited(chronicle, "asked for", by="mal", what=f"DELETE {number}")
        audited(chronicle, "login refused", user=f"name-{number}", what="password")
    assert chronicle.after(0, KEPT_MAX) == []
    kept = chronicle.audit.newest(10 * AUDITED_MAX)
    assert [one.details for one in kept if one.details.get("by") == "admin"] == [
        {"by": "admin", "what": f"PUT {number}"} for number in range(3)
    ]
    assert len([one for one in kept if one.what == "login refused"]) == AUDITED_OF_ONE_MAX
    assert len([one for one in kept if one.details.get("by") == "mal"]) == AUDITED_OF_ONE_MAX
    assert kept == sorted(kept)
    assert chronicle.audit.newest(2) == kept[-2:]
    assert chronicle.audit.newest(0) == []


def test_the_audit_trail_is_bounded_however_many_users_there_are() -> None:
    chronicle = Chronicle()
    for number in range(AUDITED_OF_ONE_MAX):
        audited(chronicle, "refused", by="mal", what=f"{number}")
    for number in range(AUDITED_MAX):
        audited(chronicle, "logged in", user=f"user{number % 100}")
    kept = chronicle.audit.newest(10 * AUDITED_MAX)
    assert len(kept) == AUDITED_MAX
    assert sum(one.what == "logged in" for one in kept) > AUDITED_MAX - AUDITED_OF_ONE_MAX


def test_the_oldest_makes_room() -> None:
    chronicle = Chronicle()
    for number in range(KEPT_MAX + 5):
        chronicle.note(0, str(number), {}, "info")
    assert (chronicle.after(0, 2 * KEPT_MAX)[0].number, chronicle.last_number) == (6, KEPT_MAX + 5)
    assert len(chronicle.after(3, 2 * KEPT_MAX)) == KEPT_MAX


def test_what_is_frequent_is_counted_only_while_somebody_watches() -> None:
    chronicle = Chronicle()
    committed = [Trace("committed", (("commit_index", 7),)), Trace("committed", (("commit_index", 9),))]
    chronicle.tell(committed)
    assert (chronicle.last_number, chronicle.take_flows()) == (0, ([], []))
    chronicle.is_watched = True
    chronicle.tell(committed)
    chronicle.sent("n2", [appended(10, 20), appended(5), Heartbeat("n1", "n2", 3, 7, 1)])
    chronicle.sent("n3", [RequestVoteReply("n1", "n3", 3, granted=False)])
    sent, told = chronicle.take_flows()
    assert told == [{"what": "committed", "commit_index": 9}]
    assert [
        (flow["to"], flow["kind"], flow["messages"], flow["entries"], flow["refusals"]) for flow in sent
    ] == [
        ("n2", "append_entries", 2, 3, 0),
        ("n2", "heartbeat", 1, 0, 0),
        ("n3", "request_vote_reply", 1, 0, 1),
    ]
    assert sent[0]["bytes"] == sum(
        block.size_bytes for message in (appended(10, 20), appended(5)) for block in message.blocks
    )
    assert (chronicle.last_number, chronicle.take_flows()) == (0, ([], []))


def test_lines_of_the_log_are_kept_once_and_none_that_a_stranger_can_cause() -> None:
    chronicle = Chronicle()
    handler = ChronicleHandler(chronicle)
    lines: list[tuple[str, str, dict[str, object]]] = [
        ("raftdb.node", "checkpoint written", {"fields": {"index": 7}}),
        ("raftdb.node", "became leader", {"is_trace": True}),
        ("raftdb.transport", "peer up", {"fields": {"peer": "n2"}}),
        ("raftdb.transport", "handshake refused", {}),
    ]
    for logger, message, more in lines:
        record = logging.makeLogRecord({"name": logger, "msg": message, "levelno": logging.INFO, **more})
        handler.handle(record)
    assert [one.what for one in chronicle.after(0, 10)] == ["checkpoint written", "peer up"]
