"""What is counted of queues and locks while entries are applied: each event once, with its wait, and nothing of what
was refused."""

from raftdb.errors import ReplyError
from raftdb.machine.entries import encode, stamp
from raftdb.machine.happenings import Happened, Happening
from raftdb.machine.layer import Layer
from raftdb.machine.locks.holding import Lock
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Expire, Mode, Operation, TransactionOperation, WaitingOperation
from raftdb.machine.queues.deliveries import Ack, GiveBack, Nack
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.reply import Result
from tests.machine.views import DictionaryView


class Applying:
    """Applies operations at times of the cluster clock."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.index = 0

    def at(self, time_ms: int, operation: Operation) -> tuple[object, list[Happened]]:
        """The value of the result, or the error; and what has happened."""
        self.index += 1
        layer = Layer(DictionaryView(self.data))
        reply = Machine().apply(self.index, 1, stamp(encode(operation), time_ms), layer).reply
        for key, value in layer.changes.items():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        return (reply.value if isinstance(reply, Result) else reply), layer.happened


def test_a_message_is_counted_from_when_it_is_put_to_when_it_is_done() -> None:
    applying = Applying()
    assert applying.at(1_000, Enqueue(b"q", b"v"))[1] == [Happened(Happening.ENQUEUED)]
    handed_out, happened = applying.at(4_000, Receive(b"q"))
    assert happened == [Happened(Happening.DELIVERED, 3_000)]
    receipt = handed_out[0][1]  # type: ignore[index]  # a list of messages
    assert applying.at(5_000, Ack(b"q", (receipt,)))[1] == [Happened(Happening.ACKED)]
    assert applying.at(6_000, Ack(b"q", (receipt,)))[1] == [], "it is done already"


def test_a_message_that_fails_is_counted_as_handed_out_again_and_as_dead() -> None:
    applying = Applying()
    applying.at(1_000, Enqueue(b"q", b"v"))
    receipt = applying.at(1_000, Receive(b"q"))[0][0][1]  # type: ignore[index]  # a list of messages
    applying.at(2_000, Nack(b"q", receipt, how=GiveBack.FREE))
    handed_out, happened = applying.at(2_500, Receive(b"q"))
    assert happened == [Happened(Happening.DELIVERED, 500), Happened(Happening.REDELIVERED)]
    receipt = handed_out[0][1]  # type: ignore[index]  # a list of messages
    assert applying.at(3_000, Nack(b"q", receipt, how=GiveBack.DEAD))[1] == [Happened(Happening.DIED)]


def test_what_is_taken_for_good_is_handed_out_and_done() -> None:
    applying = Applying()
    applying.at(1_000, Enqueue(b"q", b"v"))
    assert applying.at(1_200, Dequeue(b"q"))[1] == [
        Happened(Happening.DELIVERED, 200),
        Happened(Happening.ACKED),
    ]
    assert applying.at(1_300, Dequeue(b"q"))[1] == []


def test_a_transaction_that_fails_counts_nothing() -> None:
    applying = Applying()
    refused = Enqueue(b"q" * 1_000, b"v")
    error, happened = applying.at(
        1_000, TransactionOperation((Enqueue(b"q", b"v"), refused), (), Mode.ATOMIC)
    )
    assert isinstance(error, ReplyError)
    assert happened == []
    both = TransactionOperation((Enqueue(b"q", b"v"), Enqueue(b"q", b"w")), (), Mode.ATOMIC)
    assert applying.at(1_000, both)[1] == [Happened(Happening.ENQUEUED)] * 2


def test_a_lock_is_counted_with_the_wait_for_it() -> None:
    applying = Applying()
    assert applying.at(1_000, Lock(b"l", owner=b"x", ttl_ms=5_000))[1] == [Happened(Happening.GRANTED)]
    assert applying.at(2_000, WaitingOperation(Lock(b"l", owner=b"y", ttl_ms=5_000)))[1] == []
    _, happened = applying.at(7_000, Expire())
    assert happened == [Happened(Happening.LEASE_EXPIRED), Happened(Happening.GRANTED, 5_000)]


def test_a_deadlock_is_counted() -> None:
    applying = Applying()
    for name, owner in ((b"l", b"x"), (b"m", b"y")):
        applying.at(1_000, Lock(name, owner=owner))
    applying.at(1_000, WaitingOperation(Lock(b"m", owner=b"x")))
    error, happened = applying.at(1_000, WaitingOperation(Lock(b"l", owner=b"y")))
    assert isinstance(error, ReplyError)
    assert error.code == "deadlock"
    assert happened == [Happened(Happening.DEADLOCK)]
