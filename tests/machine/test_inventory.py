"""What is told of a whole state: how much queues and locks have, and what of it does not agree."""

from typing import Any

import pytest

from raftdb.machine.inventory import ODD_MAX, Noted
from raftdb.machine.keyspace import HELD_PREFIX, HOLD_PREFIX, MESSAGE_PREFIX, PLACE_PREFIX, QUEUE_PREFIX
from raftdb.machine.locks.holding import Lock
from raftdb.machine.locks.inventory import take_inventory as take_inventory_of_locks
from raftdb.machine.operations import WaitingOperation
from raftdb.machine.queues.deliveries import GiveBack, Nack
from raftdb.machine.queues.inventory import take_inventory
from raftdb.machine.queues.managing import Purge, QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.redriving import Redrive
from raftdb.machine.queues.taking import Receive
from raftdb.machine.services import INVENTORIES
from tests.machine.database import Database


@pytest.fixture
def database() -> Database:
    database = Database()
    database.now_ms = 1_000
    return database


def wrong(database: Database) -> list[str | int]:
    """What does not agree."""
    return [noted.value for inventory in INVENTORIES for noted in inventory(database.layer) if noted.is_wrong]


def keys(database: Database, prefix: bytes) -> list[bytes]:
    return [key for key, _ in database.layer.scan(prefix, bytes((prefix[0] + 1,)), limit=1_000)]


def test_messages_are_counted_by_state_over_all_queues(database: Database) -> None:
    for _ in range(4):
        database.run(Enqueue(b"mail", b"v"))
    database.run(Enqueue(b"jobs", b"v", delay_ms=5_000))
    received: Any = database.value(Receive(b"mail", 2))
    database.run(Nack(b"mail", received[0][1], how=GiveBack.DEAD))
    database.run(QueueSet(b"jobs", ((b"paused", b"1"),)))
    assert list(take_inventory(database.layer)) == [
        Noted("queues", 2),
        Noted("messages visible", 2),
        Noted("messages delayed", 1),
        Noted("messages in flight", 1),
        Noted("messages dead", 1, "peek 'mail' STATE dead"),
        Noted("queue paused", "'jobs', with 1 messages", "qset 'jobs' paused 0"),
    ]


def test_locks_and_those_who_hold_them_and_wait_are_counted(database: Database) -> None:
    for owner in (b"ana", b"budi", b"citra"):
        database.applied(WaitingOperation(Lock(b"door", owner=owner)))
    database.applied(Lock(b"gate", owner=b"ana"))
    assert list(take_inventory_of_locks(database.layer)) == [
        Noted("locks", 2),
        Noted("lock holders", 2),
        Noted("lock waiters", 2),
    ]


def test_what_is_on_its_way_is_not_odd(database: Database) -> None:
    """Purged messages are removed little by little, and many that are redriven become visible so."""
    for number in range(120):
        database.run(Enqueue(b"mail", b"v", group=b"g%d" % (number % 3)))
        database.run(Enqueue(b"jobs", b"v"))
    for _ in range(2):
        received: Any = database.value(Receive(b"jobs", 60))
        for delivery in received:
            database.run(Nack(b"jobs", delivery[1], how=GiveBack.DEAD))
    database.run(Purge(b"mail"))
    database.run(Redrive(b"jobs"))
    told = {noted.name: noted.value for noted in take_inventory(database.layer)}
    assert (told["messages visible"], told["messages dead"]) == (120, 0)
    assert wrong(database) == []


def test_counts_that_do_not_agree_are_named(database: Database) -> None:
    for queue in (b"mail", b"jobs"):
        database.run(Enqueue(queue, b"v"))
    database.applied(WaitingOperation(Lock(b"door", owner=b"ana")))
    database.applied(WaitingOperation(Lock(b"door", owner=b"budi")))
    database.applied(Lock(b"gate", owner=b"ana"))
    layer = database.layer
    layer.delete(keys(database, MESSAGE_PREFIX)[0])
    layer.delete(QUEUE_PREFIX + b"jobs")
    layer.delete(keys(database, HOLD_PREFIX)[0])
    layer.delete(keys(database, HELD_PREFIX)[1])
    layer.delete(keys(database, PLACE_PREFIX)[0])
    assert wrong(database) == [
        "'mail' counts 1 that are visible, and has 0",
        "1 messages belong to no queue, where 0 should be on their way",
        "'ana' is not known to hold 'gate'",
        "'budi' is not known to wait for 'door'",
        "'door' counts 1 holders and 1 waiters, and has 0 and 1",
    ]


def test_very_many_are_told_in_short(database: Database) -> None:
    for number in range(ODD_MAX + 5):
        database.applied(Lock(b"%02d" % number, owner=b"ana"))
    for key in keys(database, HOLD_PREFIX):
        database.layer.delete(key)
    told = wrong(database)
    assert len(told) == ODD_MAX + 1
    assert told[-1] == "and 5 more of these"
