"""A transaction's own writes, evaluated on plain values; and that the machine would say the same."""

import json
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.client.buffer import ANSWERED_BY_GET, BESIDE_VALUES, EVALUATED, Buffer, answer, is_read
from raftdb.client.given import as_bytes
from raftdb.client.methods import transact
from raftdb.commands.spec import COMMANDS, Access
from raftdb.errors import ReplyError, RequestRefused, required
from raftdb.frontend.json_requests import transaction_of
from raftdb.limits import DEFAULT_LIMITS, VALUE_BYTES_CEILING
from raftdb.machine.integers import INTEGER_MAX
from raftdb.machine.operations import Mode, TransactionOperation
from raftdb.machine.values import check_value
from tests.client.fake_state import Refused
from tests.client.machine_state import MachineState


def written(*commands: tuple[str, Sequence[bytes]]) -> Buffer:
    buffer = Buffer()
    for name, arguments in commands:
        buffer.write(name, arguments)
    return buffer


def test_a_read_is_remembered_with_its_revision() -> None:
    buffer = Buffer()
    assert not buffer.knows(b"a")
    buffer.remember(b"a", b"1", 7, 9)
    buffer.remember(b"b", None, 0, 9)
    assert (buffer.value(b"a"), buffer.value(b"b")) == (b"1", None)
    assert buffer.watched == {b"a": 7, b"b": 0}


def test_writes_alone_need_no_read_and_are_put_on_top_of_one() -> None:
    buffer = written(("append", [b"a", b"1"]), ("incr", [b"a"]))
    assert not buffer.knows(b"a")
    assert buffer.watched == {}
    buffer.remember(b"a", b"4", 7, 9)
    assert buffer.value(b"a") == b"42"
    buffer.write("append", [b"a", b"0"])
    assert buffer.value(b"a") == b"420"


def test_what_does_not_depend_on_the_old_value_is_known_without_a_read() -> None:
    buffer = written(
        ("set", [b"a", b"1", b"PX", b"5"]),
        ("del", [b"b"]),
        ("getset", [b"c", b"2"]),
        ("mset", [b"d", b"3", b"e", b"4"]),
    )
    assert [buffer.value(key) for key in (b"a", b"b", b"c", b"d", b"e")] == [b"1", None, b"2", b"3", b"4"]
    assert buffer.watched == {}
    assert not written(("set", [b"a", b"1", b"PX", b"5", b"nx"])).knows(b"a")
    assert not written(("expire", [b"a", b"5"]), ("persist", [b"a"])).knows(b"a")


def test_of_two_reads_at_a_time_the_first_counts() -> None:
    buffer = written(("append", [b"a", b"x"]))
    buffer.remember(b"a", b"1", 7, 9)
    buffer.remember(b"a", b"2", 8, 9)
    assert (buffer.value(b"a"), buffer.watched) == (b"1x", {b"a": 7})


def test_a_write_that_would_fail_is_not_added() -> None:
    buffer = Buffer()
    buffer.remember(b"a", b"text", 1, 9)
    buffer.remember(b"b", b"%d" % (2**63 - 1), 1, 9)
    # In the words that the nodes have for it.
    for key, words in ((b"a", "value is not an integer"), (b"b", "increment or decrement would overflow")):
        with pytest.raises(ReplyError, match=words):
            buffer.write("incr", [key])
    assert buffer.commands == []
    blind = written(("incr", [b"a"]))
    with pytest.raises(ReplyError):
        blind.remember(b"a", b"text", 1, 9)


def test_malformed_and_excessive_writes_are_refused() -> None:
    buffer = Buffer()
    for name, arguments in [("set", [b"a"]), ("nonsense", [b"a"]), ("set", [b"", b"1"]), ("get", [b"a"])]:
        with pytest.raises(RequestRefused):
            buffer.write(name, arguments)
    buffer.write("set", [b"a", bytes(VALUE_BYTES_CEILING)])
    with pytest.raises(RequestRefused, match="more than"):
        buffer.write("set", [b"b", bytes(VALUE_BYTES_CEILING)])
    assert len(buffer.commands) == 1


def test_nothing_waits_in_a_transaction() -> None:
    for refuse in (Buffer().write, is_read):
        with pytest.raises(RequestRefused, match="'receive' cannot wait in a transaction"):
            refuse("receive", [b"mail", b"COUNT", b"2", b"WAIT", b"5"])


def test_what_is_written_under_a_fence_is_seen_and_sent_with_it() -> None:
    buffer = Buffer()
    words = [b"a", b"1", b"FENCE", b"report", b"65536"]
    buffer.write("set", words)
    buffer.write("unlock", [b"report", b"65536"])
    assert buffer.value(b"a") == b"1"
    assert buffer.commands == [("set", tuple(words)), ("unlock", (b"report", b"65536"))]


def test_every_command_has_its_place() -> None:
    """A new command must be evaluated here, or be refused within a transaction: both are decisions."""
    writes = {spec.name for spec in COMMANDS.values() if spec.access is Access.WRITE}
    reads = {spec.name for spec in COMMANDS.values() if spec.access is Access.READ}
    assert writes - EVALUATED - BESIDE_VALUES <= {
        *("mset", "cas", "flushall", "delprefix", "dequeue", "receive")
    }
    assert reads >= ANSWERED_BY_GET
    for name in sorted(reads - ANSWERED_BY_GET - BESIDE_VALUES):
        arguments = [b"1-0" if name == "qget" else b"1"] * COMMANDS[name].arity.minimum
        with pytest.raises(RequestRefused, match="inside a transaction"):
            is_read(name, arguments)


KEYS = (b"a", b"b", b"c")
keys = st.sampled_from(KEYS)
texts = st.sampled_from([b"", b"1", b"-7", b"x", b"%d" % INTEGER_MAX])
options = st.sampled_from([(), (b"NX",), (b"xx",), (b"EX", b"9"), (b"KEEPTTL", b"XX"), (b"nx", b"px", b"9")])
writes = st.one_of(
    st.tuples(
        st.just("set"), st.builds(lambda key, value, words: (key, value, *words), keys, texts, options)
    ),
    st.tuples(st.sampled_from(["append", "getset"]), st.tuples(keys, texts)),
    st.tuples(st.just("setrange"), st.tuples(keys, st.sampled_from([b"0", b"1", b"5"]), texts)),
    st.tuples(st.sampled_from(["del", "incr", "decr", "persist"]), st.tuples(keys)),
    st.tuples(st.sampled_from(["incrby", "expire"]), st.tuples(keys, st.sampled_from([b"5", b"-5"]))),
    st.tuples(st.just("mset"), st.tuples(keys, texts, keys, texts)),
)
reads = st.tuples(st.just("get"), st.tuples(keys))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, texts), st.lists(st.one_of(writes, reads), max_size=20))
def test_what_is_evaluated_here_is_what_happens_there(
    stored: dict[bytes, bytes], steps: list[tuple[str, tuple[bytes, ...]]]
) -> None:
    """Whatever is read in between: the transaction sees what the machine makes of the commit, or fails where that
    fails."""
    given = [step for step in steps if step[0] != "get"]
    state, buffer = state_of(stored), Buffer()
    try:
        for name, arguments in steps:
            if is_read(name, arguments):
                look(buffer, state, arguments[0])
            else:
                buffer.write(name, arguments)
        expected = {key: look(buffer, state, key) for key in KEYS}
        state.transact(buffer.commands, list(buffer.watched.items()), "atomic")
    except (ReplyError, Refused):
        assert fails_one_by_one(stored, given)
    else:
        assert not fails_one_by_one(stored, given)
        assert buffer.commands == given
        assert {key: state.contents().get(key) for key in KEYS} == expected


def state_of(stored: dict[bytes, bytes]) -> MachineState:
    state = MachineState()
    for key, value in stored.items():
        state.execute("set", [key, value])
    return state


def look(buffer: Buffer, state: MachineState, key: bytes) -> bytes | None:
    if not buffer.knows(key):
        value, revision = state.execute("get", [key])
        assert isinstance(value, bytes)
        assert revision is not None
        buffer.remember(key, value if revision else None, revision, 9)
    return buffer.value(key)


def fails_one_by_one(stored: dict[bytes, bytes], given: list[tuple[str, tuple[bytes, ...]]]) -> bool:
    state = state_of(stored)
    try:
        for name, arguments in given:
            state.execute(name, arguments)
    except Refused:
        return True
    return False


def test_a_value_that_append_makes_too_long_is_refused_here_as_there() -> None:
    half = bytes(VALUE_BYTES_CEILING // 2)
    buffer = written(("append", [b"a", half]))
    buffer.remember(b"a", half, 1, 9)
    with pytest.raises(ReplyError) as here:
        buffer.write("append", [b"a", b"x"])
    with pytest.raises(ReplyError) as there:
        check_value(VALUE_BYTES_CEILING + 1)
    assert (here.value.message, here.value.code) == (there.value.message, there.value.code)


def test_reads_are_answered_from_values() -> None:
    values = [b"12", None, b""]
    assert answer("get", values) == b"12"
    assert answer("GET", [None]) == b""
    assert answer("strlen", values) == 2
    assert answer("exists", values) == 2
    assert answer("mget", values) == values


def test_the_earliest_read_is_the_one_from_which_on_nothing_may_have_changed() -> None:
    buffer = Buffer()
    assert buffer.watched_at == 0
    for key, index in ((b"a", 9), (b"b", 5), (b"c", 7)):
        buffer.remember(key, None, 0, index)
    assert buffer.watched_at == 5
    method = transact(as_bytes, (), buffer.watched, "atomic", watched_at=buffer.watched_at)
    content = cast(dict[str, object], required(method.request, "request").content)
    assert content["watched_at"] == 5
    operation = transaction_of(json.dumps(content).encode(), limits=DEFAULT_LIMITS)[1]
    assert operation == TransactionOperation((), ((b"a", 0), (b"b", 0), (b"c", 0)), Mode.ATOMIC, watched_at=5)
