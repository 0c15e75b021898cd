"""The machine against the model of the simulator, under random operations and random time.

The model is a second opinion on purpose: it shares no code with the machine but the names of the operations. The
simulator holds all answers of its runs against it, so it is held against the machine here first.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.machine.batches import DeleteMany, Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy, IncrementByDecimal
from raftdb.machine.editing import Append, GetRange, SetRange
from raftdb.machine.expiry import ExpireAfter, ExpiryCondition, GetAndExpire, RemoveExpiry, TimeToLive
from raftdb.machine.keys import Clear, Copy, KindOf, Rename
from raftdb.machine.operations import Expire, Mode, Operation, SessionOperation, TransactionOperation
from raftdb.machine.queues.deliveries import Ack, Extend, GiveBack, Nack
from raftdb.machine.queues.info import QueueInfo
from raftdb.machine.queues.looking import Peek, QueueGet, QueueLength, QueueNames, StateWanted
from raftdb.machine.queues.managing import Purge, QueueDelete, QueueRemove, QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.redriving import Redrive
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, DeletePrefix, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.strings import (
    KEEP_TTL,
    NO_TTL,
    PAST_TTL,
    Binding,
    Condition,
    Delete,
    Get,
    GetSet,
    Set,
    Strlen,
)
from raftdb.simulation.model import Model
from raftdb.simulation.modelled import comparable
from tests.machine.database import MACHINE, Database, check_books

KEYS = st.sampled_from([b"a", b"b", b"c"])
VALUES = st.sampled_from([b"", b"1", b"41", b"x"])
TTLS = st.sampled_from([NO_TTL, KEEP_TTL, PAST_TTL, 50, 1_000])
CONDITIONS = st.sampled_from(Condition)
PAIRS = st.tuples(st.tuples(KEYS, VALUES), st.tuples(KEYS, VALUES))
SESSIONS = st.sampled_from([b"s" * 16, b"u" * 16])
TTLS = st.sampled_from([0, 0, 1_000, 5_000, 90_000_000])
"""Times to live of sessions, the last of which is refused."""

COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Get, KEYS),
    st.builds(Set, KEYS, VALUES, TTLS, CONDITIONS),
    st.builds(Set, KEYS, VALUES, st.just(50)),
    st.builds(Set, KEYS, VALUES, TTLS, CONDITIONS, st.just(Binding.SESSION)),
    st.builds(Set, KEYS, VALUES, binding=st.just(Binding.SESSION)),
    st.builds(Strlen, KEYS),
    st.builds(Delete, KEYS),
    st.builds(Append, KEYS, VALUES),
    st.builds(SetRange, KEYS, st.integers(0, 4), VALUES),
    st.builds(Exists, st.tuples(KEYS, KEYS)),
    st.builds(IncrementBy, KEYS, st.integers(-5, 5)),
    st.builds(MultiGet, st.tuples(KEYS, KEYS)),
    st.builds(MultiSet, PAIRS),
    st.builds(MultiSet, PAIRS, CONDITIONS),
    st.builds(DeleteMany, st.tuples(KEYS, KEYS)),
    st.builds(GetSet, KEYS, VALUES),
    st.builds(GetSet, KEYS, VALUES, TTLS, CONDITIONS),
    st.builds(GetRange, KEYS, st.integers(-4, 4), st.integers(-4, 4)),
    st.builds(IncrementByDecimal, KEYS, st.sampled_from([b"1", b"0.5", b"-1.25", b"2e2", b"x"])),
    st.builds(KindOf, KEYS),
    st.just(Clear()),
    st.builds(DeletePrefix, st.sampled_from([b"", b"a", b"b"])),
    st.builds(Rename, KEYS, KEYS, CONDITIONS),
    st.builds(Copy, KEYS, KEYS, CONDITIONS),
    st.builds(CompareAndSet, KEYS, st.integers(0, 9), VALUES),
    st.builds(ExpireAfter, KEYS, st.sampled_from([-1, 0, 50, 1_000])),
    st.builds(ExpireAfter, KEYS, st.sampled_from([-1, 50, 1_000]), st.sampled_from(ExpiryCondition)),
    st.builds(GetAndExpire, KEYS, st.sampled_from([PAST_TTL, NO_TTL, 50, 1_000])),
    st.builds(RemoveExpiry, KEYS),
    st.builds(TimeToLive, KEYS),
    st.builds(Keys, st.sampled_from([b"", b"a", b"z"])),
    st.builds(Scan, st.sampled_from([b"", b"b"]), st.sampled_from([b"", b"a", b"b"]), st.integers(1, 3)),
    st.just(DatabaseSize()),
    st.just(Ping()),
)
TRANSACTIONS = st.builds(
    TransactionOperation,
    st.lists(COMMANDS, min_size=2, max_size=5).map(tuple) | st.just(()),
    # Most guesses of a revision are wrong, and then nothing else is seen of the transaction.
    st.just(()) | st.lists(st.tuples(KEYS, st.just(0) | st.integers(0, 9)), max_size=2).map(tuple),
    st.sampled_from(Mode),
)


@st.composite
def works(draw: st.DrawFn) -> Command | TransactionOperation:
    """A command or a transaction, as often as not: `|` would make a transaction one of eighteen other choices."""
    strategy: st.SearchStrategy[Any] = TRANSACTIONS if draw(st.booleans()) else COMMANDS
    work: Command | TransactionOperation = draw(strategy)
    return work


STEPS: dict[str, st.SearchStrategy[Any]] = {
    # The last is most of the time that a session may be idle.
    "advance": st.sampled_from([1, 49, 50, 999, 1_000, 5_000, 3_000_000]),
    "once": works(),
    "in session": st.tuples(SESSIONS, st.integers(1, 6), st.integers(0, 3), works()),
    "untold": st.just(Expire())
    | st.builds(RegisterSession, SESSIONS, ttl_ms=TTLS)
    | st.builds(KeepSession, SESSIONS, TTLS)
    | st.builds(CloseSession, SESSIONS),
}
"""What may happen next. What `untold` answers, nobody acts on: it is not compared."""
KINDS = st.sampled_from([*("advance",) * 3, *("once",) * 4, *("in session",) * 4, "untold"])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """What happens, in order: each kind as often as it stands in `KINDS`."""
    kinds = draw(st.lists(KINDS, min_size=20, max_size=40))
    return [(kind, draw(STEPS[kind])) for kind in kinds]


QUEUES = st.sampled_from([b"q", b"r"])
SECONDS = st.sampled_from([0, 50, 1_000])
WORDS = st.sampled_from([b"", b"", b"g", b"h"])
# What earlier entries have made is guessed often enough: the log is short, and most of it is on two queues.
IDS = st.builds(
    lambda index, place: b"%d-%d" % (index, place), st.integers(1, 12), st.sampled_from([0, 0, 1])
)
RECEIPTS = st.builds(lambda text, number: b"%b-%d" % (text, number), IDS, st.sampled_from([1, 1, 2, 3]))
SETTINGS = st.sampled_from(
    [
        (b"max_failures", b"1"),
        (b"max_failures", b"2"),
        (b"dead_letter", b"r"),
        (b"dead_letter", b""),
        (b"dead_letter", b"q"),
        (b"max_length", b"2"),
        (b"max_length", b"0"),
        (b"max_bytes", b"3"),
        (b"dedup_window", b"0.999"),
        (b"visibility", b"0.05"),
        (b"paused", b"1"),
        (b"paused", b"0"),
    ]
)
QUEUE_COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Enqueue, QUEUES, VALUES),
    st.builds(Enqueue, QUEUES, VALUES, SECONDS, WORDS, st.sampled_from([0, 0, 9]), WORDS, WORDS, SECONDS),
    st.builds(Enqueue, QUEUES, VALUES, st.just(0), st.just(b"g"), st.sampled_from([0, 0, 5])),
    st.builds(Receive, QUEUES, st.integers(1, 3), SECONDS, WORDS),
    st.builds(Receive, QUEUES, st.just(3), st.just(50)),
    st.builds(Dequeue, QUEUES),
    st.builds(Ack, QUEUES, st.lists(RECEIPTS, min_size=1, max_size=4).map(tuple)),
    st.builds(
        Nack,
        QUEUES,
        RECEIPTS,
        st.sampled_from([-1, 0, 50]),
        st.sampled_from([b"", b"no"]),
        st.sampled_from(GiveBack),
    ),
    st.builds(Nack, QUEUES, RECEIPTS),
    st.builds(
        Extend, QUEUES, st.sampled_from([1, 1_000]), st.lists(RECEIPTS, min_size=1, max_size=2).map(tuple)
    ),
    st.builds(QueueLength, QUEUES),
    st.builds(QueueInfo, QUEUES),
    st.builds(QueueNames, st.sampled_from([b"", b"r"]), st.sampled_from([b"", b"q"]), st.integers(1, 2)),
    st.builds(Peek, QUEUES, st.sampled_from(StateWanted), st.just(b"") | IDS, st.integers(1, 9)),
    st.builds(QueueGet, QUEUES, IDS),
    st.builds(QueueRemove, QUEUES, st.lists(IDS, min_size=1, max_size=2).map(tuple)),
    st.builds(QueueSet, QUEUES, st.lists(SETTINGS, min_size=1, max_size=2).map(tuple)),
    st.builds(
        Redrive, QUEUES, st.just(b"") | QUEUES, st.lists(IDS, max_size=2).map(tuple), st.integers(0, 2)
    ),
    st.builds(Purge, QUEUES),
    st.builds(QueueDelete, QUEUES),
)
QUEUE_TRANSACTIONS = st.builds(
    TransactionOperation,
    st.lists(QUEUE_COMMANDS | COMMANDS, min_size=2, max_size=4).map(tuple),
    st.just(()),
    st.sampled_from(Mode),
)
QUEUE_WORKS: st.SearchStrategy[Any] = st.one_of(QUEUE_COMMANDS, QUEUE_COMMANDS, QUEUE_TRANSACTIONS)


@st.composite
def queue_histories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """What happens to two queues, in order."""
    kinds = st.sampled_from(
        [*("once",) * 5, *("advance",) * 2, *("of a delivery",) * 2, "in session", "untold"]
    )
    steps: dict[str, st.SearchStrategy[Any]] = {
        "advance": st.sampled_from([1, 50, 51, 999, 1_001, 30_001]),
        "once": QUEUE_WORKS,
        "in session": st.tuples(SESSIONS, st.integers(1, 6), st.integers(0, 3), QUEUE_WORKS),
        "of a delivery": st.tuples(
            st.integers(0, 3),
            st.sampled_from(
                [
                    lambda queue, receipt: Ack(queue, (receipt,)),
                    lambda queue, receipt: Nack(queue, receipt, 0, b"why"),
                    Nack,
                    lambda queue, receipt: Nack(queue, receipt, how=GiveBack.FREE),
                    lambda queue, receipt: Nack(queue, receipt, how=GiveBack.DEAD),
                    lambda queue, receipt: Extend(queue, 60, (receipt,)),
                    lambda queue, receipt: TransactionOperation(
                        (Enqueue(queue, b"t"), Ack(queue, (receipt,)))
                    ),
                ]
            ),
        ),
        "untold": st.just(Expire()),
    }
    return [(kind, draw(steps[kind])) for kind in draw(st.lists(kinds, min_size=10, max_size=40))]


@settings(max_examples=400)
@given(queue_histories())
def test_queues_do_what_the_model_does(steps: list[tuple[str, Any]]) -> None:
    check_history(steps, looks_at=(b"q", b"r"))


BOUND = st.builds(Set, KEYS, VALUES, st.sampled_from([NO_TTL, 50]), binding=st.just(Binding.SESSION))
ON_BOUND: st.SearchStrategy[Command] = st.one_of(
    st.builds(Set, KEYS, VALUES),
    st.builds(Append, KEYS, VALUES),
    st.builds(IncrementBy, KEYS, st.just(1)),
    st.builds(Rename, KEYS, KEYS),
    st.builds(Rename, st.just(b"a"), st.just(b"b")),
    st.builds(Copy, KEYS, KEYS, CONDITIONS),
    st.builds(ExpireAfter, KEYS, st.sampled_from([0, 1_000])),
    st.builds(GetSet, KEYS, VALUES),
    st.builds(Delete, KEYS),
    st.just(Clear()),
)
ENDS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(RegisterSession, SESSIONS, ttl_ms=TTLS),
    st.builds(KeepSession, SESSIONS, TTLS),
    st.builds(CloseSession, SESSIONS),
    st.just(Expire()),
)


@st.composite
def histories_of_bound_keys(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """What happens to keys that are bound to two sessions, which end often; each operation in a session once."""
    steps: list[tuple[str, Any]] = [("untold", RegisterSession(b"u" * 16))]
    kinds = st.sampled_from([*("bound",) * 4, *("in session",) * 3, *("untold",) * 2, "advance"])
    choices: dict[str, st.SearchStrategy[Any]] = {
        "bound": BOUND,
        "in session": ON_BOUND,
        "untold": ENDS,
        "advance": st.sampled_from([51, 1_300, 3_700_000]),
    }
    for sequence, kind in enumerate(draw(st.lists(kinds, min_size=15, max_size=30)), start=1):
        what: Any = draw(choices[kind])
        if kind in ("bound", "in session"):
            steps.append(("in session", (draw(SESSIONS), sequence, 0, what)))
        else:
            steps.append((kind, what))
        # What a session leaves behind is seen before somebody writes over it, and the next one begins.
        steps.append(("once", Keys(b"")))
        if isinstance(what, CloseSession):
            steps.append(("untold", RegisterSession(what.session)))
    return steps


@settings(max_examples=200)
@given(histories_of_bound_keys())
def test_bound_keys_end_as_those_of_the_model_do(steps: list[tuple[str, Any]]) -> None:
    check_history(steps)


@settings(max_examples=400)
@given(histories())
def test_the_machine_does_what_the_model_does(steps: list[tuple[str, Any]]) -> None:
    check_history(steps)


def check_history(steps: list[tuple[str, Any]], *, looks_at: tuple[bytes, ...] = ()) -> None:
    """Both do the same with every step; and after each, all is the same in the queues that are looked at."""
    database, model = Database(), Model()
    asked: dict[tuple[bytes, int], Command | TransactionOperation] = {}
    receipts: list[tuple[bytes, bytes]] = []

    def run(operation: Operation) -> None:
        reply = database.run(operation)
        told = model.apply(database.index, database.now_ms, operation)
        if isinstance(operation, Expire | RegisterSession | KeepSession | CloseSession):
            return
        at, reply = (reply.index, reply.reply) if isinstance(reply, Repetition) else (database.index, reply)
        value = comparable(reply.value if isinstance(reply, Result) else reply)
        assert (value, at) == (told.value, told.index)
        if isinstance(operation, Receive):
            receipts.extend((operation.queue, one[1]) for one in told.value)

    run(RegisterSession(b"s" * 16))
    for kind, what in steps:
        if kind == "advance":
            database.now_ms += what
        elif kind == "of a delivery":
            place, make = what
            if place < len(receipts):
                run(make(*receipts[-1 - place]))
        elif kind == "in session":
            session, sequence, kept, work = what
            # Again the same under the same number, as a client would.
            repeated = asked.setdefault((session, sequence), work)
            run(SessionOperation(session, sequence, max(1, sequence - kept), repeated))
        else:
            run(what)
        for name in looks_at:
            for look in (Peek(name, count=100), QueueInfo(name)):
                seen = MACHINE.read(look, database.layer)
                assert comparable(getattr(seen, "value", seen)) == model.read(look)
    run(Ping())  # the time of the last steps has reached both
    visible = model.visible()
    for key in (b"a", b"b", b"c"):
        held = visible.get(key)
        expected = Result(b"", 0) if held is None else Result(held.data, held.revision)
        assert database.run(Get(key)) == expected
    check_books(database.layer)


def test_what_undoes_a_transaction_has_the_same_code_in_both() -> None:
    """That of the command, but for a conflict, which would say that something watched has changed."""
    missing, conflict = QueueInfo(b"q"), CompareAndSet(b"a", 9, b"")
    check_history([("once", TransactionOperation((one,), (), Mode.ATOMIC)) for one in (missing, conflict)])
