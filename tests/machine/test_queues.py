"""Queues, as stories: deliveries and their receipts, groups, dead letters, limits, what a session keeps, and costs.

That every command does what it must in every state is held against the model (`test_model`).
"""

from typing import Any

import pytest

from raftdb.budgets import KEY_BYTES, SWEEP_QUEUE_KEYS_MAX
from raftdb.commands.spec import parse
from raftdb.errors import Conflict, Fenced, RequestRefused
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import BODY_PREFIX
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Expire, Mode, SessionOperation, TransactionOperation
from raftdb.machine.queues import records
from raftdb.machine.queues.deliveries import Ack
from raftdb.machine.queues.managing import QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.redriving import AT_ONCE_MAX, STEP_MESSAGES
from raftdb.machine.reply import Result
from raftdb.machine.sessions import RegisterSession
from raftdb.machine.strings import Get, Set
from raftdb.machine.sweeping import is_pending
from tests.machine.database import Database, check_books
from tests.machine.views import DictionaryView

NAME = b"s" * 16


@pytest.fixture
def database() -> Database:
    database = Database()
    database.now_ms = 1_000
    return database


def do(database: Database, line: str) -> Any:
    """The value that a command answers, given as a line without quotes."""
    name, *words = line.split()
    return database.value(parse(name, [word.encode() for word in words]))


def values(handed_out: list[list[Any]]) -> list[bytes]:
    return [one[3] for one in handed_out]


def later(database: Database, seconds: float) -> None:
    database.now_ms += round(seconds * 1000)


def test_a_message_that_is_not_acknowledged_comes_back_and_an_old_receipt_does_nothing(
    database: Database,
) -> None:
    do(database, "enqueue mail hello")
    assert do(database, "receive mail VISIBILITY 5 WORKER w1") == [[b"1-0", b"1-0-1", 1, b"hello"]]
    later(database, 5)
    assert do(database, "receive mail") == [], "its time is over when the clock is beyond it"
    later(database, 0.001)
    assert do(database, "receive mail WORKER w2") == [[b"1-0", b"1-0-2", 2, b"hello"]]
    assert do(database, "ack mail 1-0-1") == 0
    assert do(database, "nack mail 1-0-1") == 0
    assert do(database, "extend mail 5 1-0-1") == 0
    assert database.applied(Ack(b"mail", (b"1-0-1", b"1-0-2"))).reply == Result([1, [b"1-0-1"]], None)
    assert do(database, "qget mail 1-0") is None
    check_books(database.layer)


def test_a_delivery_whose_time_is_over_is_over_swept_or_not(database: Database) -> None:
    do(database, "enqueue mail hello")
    do(database, "receive mail VISIBILITY 1")
    later(database, 1.001)
    assert do(database, "ack mail 1-0-1") == 0
    assert do(database, "qlen mail") == 1
    database.run(Expire())
    assert do(database, "qlen mail") == 1
    assert do(database, "peek mail STATE visible")[0][-6:-4] == [b"error", b"it was not acknowledged in time"]


def test_a_transaction_that_relies_on_a_delivery_that_is_over_is_refused_in_every_mode(
    database: Database,
) -> None:
    do(database, "enqueue mail hello")
    do(database, "receive mail VISIBILITY 1")
    later(database, 1.001)
    for mode in Mode:
        error = database.failed(
            TransactionOperation((Set(b"result", b"1"), Ack(b"mail", (b"1-0-1",))), (), mode)
        )
        assert isinstance(error, Fenced)
        assert error.failed_command == 1
    assert database.value(Get(b"result")) == b""
    receipt = do(database, "receive mail")[0][1]
    done = TransactionOperation((Set(b"result", b"1"), Ack(b"mail", (receipt,))), (), Mode.ATOMIC)
    assert database.value(done) == ["OK", 1]


def test_of_a_group_one_after_the_other_is_handed_out(database: Database) -> None:
    for line in ("a GROUP g", "b GROUP g PRIORITY 9", "c", "d GROUP h DELAY 1", "e GROUP h"):
        do(database, f"enqueue jobs {line}")
    assert values(do(database, "receive jobs COUNT 9")) == [b"a", b"c"]
    do(database, "nack jobs 1-0-1 DELAY 2")
    later(database, 1.001)
    assert values(do(database, "receive jobs COUNT 9")) == [b"d"], "a delayed head holds its group"
    do(database, "ack jobs 4-0-1")
    later(database, 1)
    assert values(do(database, "receive jobs COUNT 9")) == [b"e", b"a"], "by when they became visible"
    do(database, "ack jobs 1-0-2")
    assert values(do(database, "receive jobs COUNT 9")) == [b"b"]
    check_books(database.layer)


def test_the_order_is_by_priority_then_by_when_a_message_became_visible(database: Database) -> None:
    do(database, "enqueue jobs late DELAY 3")
    do(database, "enqueue jobs first")
    later(database, 4)
    do(database, "enqueue jobs last")
    do(database, "enqueue jobs urgent PRIORITY 5")
    assert values(do(database, "receive jobs COUNT 9")) == [b"urgent", b"first", b"late", b"last"]


def test_a_message_that_fails_too_often_is_dead_and_can_live_again(database: Database) -> None:
    do(database, "qset jobs max_failures 2")
    do(database, "enqueue jobs bad")
    do(database, "receive jobs")
    assert do(database, "nack jobs 2-0-1 ERROR once") == 1
    assert do(database, "qinfo jobs")[:8] == [b"visible", 0, b"delayed", 1, b"in_flight", 0, b"dead", 0]
    later(database, 1.26)
    do(database, "receive jobs VISIBILITY 1")
    later(database, 1.001)
    assert do(database, "qinfo jobs")[:8] == [b"visible", 0, b"delayed", 0, b"in_flight", 0, b"dead", 1]
    assert do(database, "purge jobs") == 0, "the dead stay"
    assert do(database, "redrive jobs TO again COUNT 5") == 1
    assert do(database, "receive again") == [
        [b"%d-0" % (database.index - 1), b"%d-0-1" % (database.index - 1), 1, b"bad"]
    ]
    check_books(database.layer)


def test_the_dead_go_to_the_queue_that_theirs_names_whatever_its_limits(database: Database) -> None:
    do(database, "qset jobs max_failures 1 dead_letter morgue")
    do(database, "qset morgue max_length 1")
    do(database, "enqueue morgue already")
    do(database, "enqueue jobs bad PRIORITY 3")
    do(database, "receive jobs VISIBILITY 1")
    later(database, 1.001)
    database.run(Expire())
    assert values(do(database, "receive morgue COUNT 2")) == [b"bad", b"already"]
    assert do(database, "peek morgue AFTER 5-0")[0][-6:-4] == [b"error", b"it was not acknowledged in time"]
    assert isinstance(database.failed(parse("qset", [b"morgue", b"dead_letter", b"jobs"])), Conflict)


def test_a_setting_is_changed_once_by_a_command(database: Database) -> None:
    """Two thousand times the same one, each of which is looked up, would hold every node up."""
    with pytest.raises(RequestRefused, match="named twice"):
        parse("qset", [b"jobs", b"paused", b"1", b"PAUSED", b"0"])
    twice = QueueSet(b"jobs", ((b"paused", b"1"), (b"paused", b"0")))
    assert database.error(twice) == "a setting is named twice"
    assert do(database, "queues") == []


def test_a_full_queue_refuses_and_a_paused_one_hands_out_nothing(database: Database) -> None:
    do(database, "qset jobs max_length 2 max_bytes 10 paused 1")
    do(database, "enqueue jobs four")
    assert database.failed(parse("enqueue", [b"jobs", b"seven77"])).code == "queue_full"
    do(database, "enqueue jobs six666")
    assert database.failed(parse("enqueue", [b"jobs", b""])).code == "queue_full"
    assert do(database, "receive jobs") == []
    assert do(database, "dequeue jobs") is None
    before = len(database.layer.events)
    do(database, "qset jobs paused 0")
    assert database.layer.events[before:] == [b"djobs"], "who waits is told"
    assert do(database, "dequeue jobs") == b"four"


def test_what_was_put_before_is_not_put_again(database: Database) -> None:
    assert do(database, "enqueue jobs a DEDUP x") == [b"1-0", 1]
    assert do(database, "dequeue jobs") == b"a"
    assert do(database, "enqueue jobs a DEDUP x") == [b"1-0", 0]
    later(database, 300.001)
    assert do(database, "enqueue jobs a DEDUP x UNIQUE u") == [b"4-0", 1]
    assert do(database, "enqueue jobs b UNIQUE u") == [b"4-0", 0]
    do(database, "receive jobs")
    assert do(database, "enqueue jobs b UNIQUE u") == [b"7-0", 1], "the last trigger is never lost"
    later(database, 301)
    database.run(Expire())
    check_books(database.layer)


def test_two_of_a_unique_id_wait_if_the_first_fails_and_no_third_while_one_does(database: Database) -> None:
    do(database, "enqueue jobs a UNIQUE u")
    do(database, "receive jobs")
    assert do(database, "enqueue jobs b UNIQUE u") == [b"3-0", 1]
    do(database, "nack jobs 1-0-1")
    assert do(database, "enqueue jobs c UNIQUE u") == [b"1-0", 0], "the first of those that wait"
    assert values(do(database, "receive jobs")) == [b"b"]
    assert do(database, "enqueue jobs c UNIQUE u") == [b"1-0", 0], "it waits still, for its back-off"
    check_books(database.layer)
    assert do(database, "qremove jobs 1-0") == 1
    assert do(database, "enqueue jobs c UNIQUE u") == [b"9-0", 1]
    do(database, "ack jobs 3-0-1")
    assert do(database, "enqueue jobs d UNIQUE u") == [b"9-0", 0]
    check_books(database.layer)


def test_a_message_expires_while_it_waits_and_never_in_somebodys_hands(database: Database) -> None:
    do(database, "enqueue jobs a TTL 2")
    do(database, "receive jobs VISIBILITY 5")
    later(database, 3)
    assert do(database, "qinfo jobs")[4:6] == [b"in_flight", 1]
    later(database, 3)
    assert do(database, "receive jobs") == []
    assert do(database, "qinfo jobs")[18:20] == [b"expired", 1]


def test_a_receive_that_is_repeated_gives_the_same_deliveries_and_the_session_keeps_no_values(
    database: Database,
) -> None:
    database.run(RegisterSession(NAME))
    value = b"v" * 100_000
    database.run(parse("enqueue", [b"jobs", value]))
    receive = parse("receive", [b"jobs"])
    once = SessionOperation(NAME, 1, 1, receive)
    several = SessionOperation(NAME, 2, 1, TransactionOperation((receive, Get(b"k"))))
    first = database.result(once)
    assert database.result(several).value == [[], b""]
    kept = database.layer.scan(b"r", b"s", limit=9)
    assert all(len(record) < 200 for _, record in kept)
    again = database.repetition(once)
    assert again.reply == first
    do(database, "ack jobs 2-0-1")
    gone = database.repetition(once).reply
    assert isinstance(gone, Result)
    assert gone.value == [[b"2-0", b"2-0-1", 1, None]]


def test_purging_and_deleting_read_as_done_at_once_and_leave_nothing_behind(database: Database) -> None:
    for number in range(5):
        do(database, f"enqueue jobs v{number} GROUP g DEDUP d{number} UNIQUE u{number}")
    do(database, "receive jobs")
    assert do(database, "purge jobs") == 5
    assert do(database, "ack jobs 1-0-1") == 0
    assert do(database, "qlen jobs") == 0
    assert do(database, "enqueue jobs v DEDUP d1") == [b"2-0", 0], "ids that were seen stay so"
    assert do(database, "enqueue jobs w GROUP g UNIQUE u1") == [b"11-0", 1]
    assert do(database, "qdel jobs") == 1
    assert do(database, "queues") == []
    later(database, 301)
    while is_pending(database.layer):
        database.run(Expire())
    left = {key[:1] for key, value in database.layer.changes.items() if value is not None}
    assert left <= {b"t", b"E", b"H"}


def test_all_dead_messages_live_again_a_number_at_a_time_and_count_at_once(database: Database) -> None:
    do(database, "qset jobs max_failures 1")
    count = AT_ONCE_MAX + STEP_MESSAGES + 1
    for number in range(count):
        do(database, f"enqueue jobs v{number}")
    while handed_out := do(database, "receive jobs COUNT 100"):
        for one in handed_out:
            do(database, f"nack jobs {one[1].decode()}")
    assert do(database, "redrive jobs") == count
    assert do(database, "qlen jobs") == count
    seen: list[bytes] = []
    for moved in (AT_ONCE_MAX, AT_ONCE_MAX + STEP_MESSAGES, count):
        assert do(database, "qlen jobs") == count - len(seen)
        while value := do(database, "dequeue jobs"):
            seen.append(value)
        assert len(seen) == moved
        later(database, 0.001)
        database.run(Expire())
    assert seen == [b"v%d" % number for number in range(count)]
    check_books(database.layer)


class _Counting(DictionaryView):
    """A view that counts the pairs that scans have found."""

    found = 0

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        pairs = super().scan(first, end, limit=limit, length=length)
        self.found += len(pairs)
        return pairs


def test_what_a_command_costs_does_not_depend_on_how_many_wait_or_have_gone() -> None:
    costs = []
    for waiting, gone in ((10, 1), (2_000, 1), (10, 1_000)):
        view = _Counting()
        database = Database(view)
        for number in range(gone + waiting):
            database.run(parse("enqueue", [b"jobs", b"%d" % number]))
        for _ in range(gone):
            # What has left the line is a deletion in memory, and a scan would step over it.
            receipt = do(database, "receive jobs")[0][1].decode()
            do(database, f"ack jobs {receipt}")
        before = database.layer.looked_up + database.layer.passed
        receipt = do(database, "receive jobs")[0][1].decode()
        do(database, f"ack jobs {receipt}")
        do(database, "enqueue jobs last")
        costs.append(database.layer.looked_up + database.layer.passed - before)
    assert costs[0] == costs[1] == costs[2] < 40


def test_ids_and_receipts_are_read_as_they_are_shown_and_in_no_other_way() -> None:
    assert records.read_id(b"12-3") == records.pack_id(12, 3)
    assert records.shown_id(records.pack_id(12, 3)) == b"12-3"
    assert records.read_receipt(b"12-3-1") == (records.pack_id(12, 3), 1)
    for text in (b"", b"12", b"12-", b"-3", b"012-3", b"12-3-4", b"+1-2", b"1-4294967296", b"9" * 30 + b"-0"):
        assert records.read_id(text) is None
    for text in (b"", b"12-3", b"12-3-", b"12-3-x", b"12-3-01"):
        assert records.read_receipt(text) is None


@pytest.mark.parametrize(
    ("error", "kept_bytes"),
    [
        ("x" * 1_001, 1_000),
        ("é" * 501, 1_000),
        ("x" + "é" * 500, 999),
        ("x" + "漢" * 999, 1_000),
        ("€" * 999, 999),
    ],
)
def test_of_a_long_error_whole_characters_are_kept(database: Database, error: str, kept_bytes: int) -> None:
    do(database, "enqueue jobs a")
    do(database, "receive jobs")
    database.run(parse("nack", [b"jobs", b"1-0-1", b"ERROR", error.encode()]))
    kept = do(database, "qget jobs 1-0")
    assert kept[kept.index(b"error") + 1] == error.encode()[:kept_bytes]
    assert error.startswith(kept[kept.index(b"error") + 1].decode())


def test_a_value_is_written_once(database: Database) -> None:
    do(database, "enqueue jobs value")
    body = next(key for key in database.layer.changes if key[:1] == BODY_PREFIX)
    before = database.layer.changes[body]
    do(database, "receive jobs")
    do(database, "nack jobs 1-0-1")
    assert database.layer.changes[body] is before
    assert read_clock(database.layer) == database.now_ms


def test_the_sweeper_moves_the_values_of_few_queues_in_one_entry(database: Database) -> None:
    """They count by their bytes: very many queues may have long values that are dead at the same time."""
    count, value_bytes = 8, 1 << 20
    for number in range(count):
        do(database, f"qset q{number} max_failures 1")
        database.run(Enqueue(b"q%d" % number, bytes(value_bytes)))
        do(database, f"receive q{number} VISIBILITY 1")
    later(database, 2)
    entries = 0
    while (next_ms := Machine().next_deadline_ms(database.layer)) is not None and next_ms < database.now_ms:
        upper = database.layer = Layer(database.layer)
        database.run(Expire())
        assert upper.moved_bytes < (SWEEP_QUEUE_KEYS_MAX * KEY_BYTES + value_bytes) * 3, "read, and written"
        entries += 1
    assert 1 < entries < count
    assert all(do(database, f"qinfo q{number}")[7] == 1 for number in range(count))


def test_the_first_dead_messages_that_live_again_can_be_received_next(database: Database) -> None:
    do(database, "qset jobs max_failures 1")
    for line in ("enqueue jobs a", "receive jobs", "nack jobs 2-0-1"):
        do(database, line)
    assert do(database, "redrive jobs TO other") == 1
    assert do(database, "peek other")[0][1] == b"5-0"
    assert do(database, "dequeue other") == b"a"
