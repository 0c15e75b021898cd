"""A transaction's own writes, evaluated on plain values; and that the machine would say the same."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.client.buffer import ANSWERED_BY_GET, EFFECTS, Buffer, answer, is_read
from raftdb.commands.limits import VALUE_BYTES_CEILING
from raftdb.commands.spec import COMMANDS, Access
from raftdb.errors import ReplyError, RequestRefused
from tests.client.fake_state import FakeState, Refused


def written(*commands: tuple[str, Sequence[bytes]]) -> Buffer:
    buffer = Buffer()
    for name, arguments in commands:
        buffer.write(name, arguments)
    return buffer


def test_a_read_is_remembered_with_its_revision() -> None:
    buffer = Buffer()
    assert not buffer.knows(b"a")
    buffer.remember(b"a", b"1", 7)
    buffer.remember(b"b", None, 0)
    assert (buffer.value(b"a"), buffer.value(b"b")) == (b"1", None)
    assert buffer.watched == {b"a": 7, b"b": 0}


def test_writes_alone_need_no_read_and_are_put_on_top_of_one() -> None:
    buffer = written(("append", [b"a", b"1"]), ("incr", [b"a"]))
    assert not buffer.knows(b"a")
    assert buffer.watched == {}
    buffer.remember(b"a", b"4", 7)
    assert buffer.value(b"a") == b"42"
    buffer.write("append", [b"a", b"0"])
    assert buffer.value(b"a") == b"420"


def test_what_does_not_depend_on_the_old_value_is_known_without_a_read() -> None:
    buffer = written(("set", [b"a", b"1"]), ("del", [b"b"]), ("mset", [b"c", b"2", b"d", b"3"]))
    assert [buffer.value(key) for key in (b"a", b"b", b"c", b"d")] == [b"1", None, b"2", b"3"]
    assert buffer.watched == {}


def test_of_two_reads_at_a_time_the_first_counts() -> None:
    buffer = written(("append", [b"a", b"x"]))
    buffer.remember(b"a", b"1", 7)
    buffer.remember(b"a", b"2", 8)
    assert (buffer.value(b"a"), buffer.watched) == (b"1x", {b"a": 7})


def test_a_write_that_would_fail_is_not_added() -> None:
    buffer = Buffer()
    buffer.remember(b"a", b"text", 1)
    buffer.remember(b"b", b"%d" % (2**63 - 1), 1)
    for key in (b"a", b"b"):
        with pytest.raises(ReplyError, match="not an integer"):
            buffer.write("incr", [key])
    assert buffer.commands == []
    blind = written(("incr", [b"a"]))
    with pytest.raises(ReplyError):
        blind.remember(b"a", b"text", 1)


def test_malformed_and_excessive_writes_are_refused() -> None:
    buffer = Buffer()
    for name, arguments in [("set", [b"a"]), ("nonsense", [b"a"]), ("set", [b"", b"1"]), ("get", [b"a"])]:
        with pytest.raises(RequestRefused):
            buffer.write(name, arguments)
    buffer.write("set", [b"a", bytes(VALUE_BYTES_CEILING)])
    with pytest.raises(RequestRefused, match="more than"):
        buffer.write("set", [b"b", bytes(VALUE_BYTES_CEILING)])
    assert len(buffer.commands) == 1


def test_every_command_has_its_place() -> None:
    """A new command must be evaluated here, or be refused within a transaction: both are decisions."""
    writes = {spec.name for spec in COMMANDS.values() if spec.access is Access.WRITE}
    reads = {spec.name for spec in COMMANDS.values() if spec.access is Access.READ}
    assert writes - set(EFFECTS) <= {"mset", "cas"}
    assert reads >= ANSWERED_BY_GET
    for name in sorted(reads - ANSWERED_BY_GET):
        arguments = [b"1"] * COMMANDS[name].arity.minimum
        with pytest.raises(RequestRefused, match="inside a transaction"):
            is_read(name, arguments)


KEYS = (b"a", b"b", b"c")
keys = st.sampled_from(KEYS)
texts = st.sampled_from([b"", b"1", b"-7", b"x"])
known = st.one_of(
    st.tuples(st.just("set"), st.tuples(keys, texts)),
    st.tuples(st.just("append"), st.tuples(keys, texts)),
    st.tuples(st.sampled_from(["del", "incr", "decr"]), st.tuples(keys)),
    st.tuples(st.just("incrby"), st.tuples(keys, st.sampled_from([b"5", b"-5"]))),
    st.tuples(st.just("mset"), st.tuples(keys, texts, keys, texts)),
)
reads = st.tuples(st.just("get"), st.tuples(keys))


@given(st.dictionaries(keys, texts), st.lists(st.one_of(known, reads), max_size=20))
def test_what_is_evaluated_here_is_what_happens_there(
    stored: dict[bytes, bytes], steps: list[tuple[str, tuple[bytes, ...]]]
) -> None:
    """Whatever is read in between: the transaction sees what the commit brings about, or fails where that fails."""
    writes = [step for step in steps if step[0] != "get"]
    fails = fails_one_by_one(stored, writes)
    state = FakeState()
    state.values.update(stored)
    buffer = Buffer()
    try:
        for name, arguments in steps:
            if is_read(name, arguments):
                look(buffer, state, arguments[0])
            else:
                buffer.write(name, arguments)
        expected = {key: look(buffer, state, key) for key in KEYS}
        state.transact(buffer.commands, list(buffer.watched.items()), "atomic")
    except (ReplyError, Refused):
        assert fails
    else:
        assert not fails
        assert buffer.commands == writes
        assert {key: state.values.get(key) for key in KEYS} == expected


def fails_one_by_one(stored: dict[bytes, bytes], writes: list[tuple[str, tuple[bytes, ...]]]) -> bool:
    state = FakeState()
    state.values.update(stored)
    try:
        for name, arguments in writes:
            state.execute(name, arguments)
    except Refused:
        return True
    return False


def look(buffer: Buffer, state: FakeState, key: bytes) -> bytes | None:
    if not buffer.knows(key):
        buffer.remember(key, state.values.get(key), state.revision(key))
    return buffer.value(key)


def test_reads_are_answered_from_values() -> None:
    values = [b"12", None, b""]
    assert answer("get", values) == b"12"
    assert answer("GET", [None]) == b""
    assert answer("strlen", values) == 2
    assert answer("exists", values) == 2
    assert answer("mget", values) == values
