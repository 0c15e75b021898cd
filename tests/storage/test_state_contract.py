"""The contract of a state store, on LMDB and on its twin, by example and against a plain dictionary."""

import shutil
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from storage import FolderDamaged, FrozenChanges, MemoryDisk, MemoryStateStore, StateStore
from storage.codec import HEAD_VERIFIED_BYTES
from storage.contract import INDEX_MAX, KEY_BYTES_MAX
from storage.errors import Misused
from storage.overlay import CHANGE_OVERHEAD_BYTES, DELETION_BYTES
from tests.storage.media import KINDS, Medium, scratch_folder


def checkpoint(state: StateStore) -> None:
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    state.thaw(frozen)


def test_a_new_state_is_empty(medium: Medium) -> None:
    state = medium.state()
    assert (state.applied, state.checkpoint) == ((0, 0), (0, 0))
    assert state.get(b"a") is None
    assert state.scan(b"", None, limit=10) == []
    assert state.freeze() is None


def test_writes_are_visible_at_once_and_durable_with_their_index_after_a_flush(medium: Medium) -> None:
    state = medium.state()
    state.write({b"a": b"1", b"b": b""}, index=3, term=1)
    assert (state.get(b"a"), state.get(b"b"), state.applied, state.checkpoint) == (b"1", b"", (3, 1), (0, 0))
    checkpoint(state)
    state.write({b"a": b"2"}, index=4, term=2)
    state.close()
    state = medium.state()
    assert (state.applied, state.checkpoint) == ((3, 1), (3, 1))
    assert state.scan(b"", None, limit=10) == [(b"a", b"1"), (b"b", b"")]


def test_all_layers_are_one_key_space(medium: Medium) -> None:
    state = medium.state()
    state.write(dict.fromkeys((b"a", b"b", b"c", b"d"), b"disk"), index=1, term=1)
    checkpoint(state)
    state.write({b"b": None, b"c": b"frozen", b"e": b"frozen", b"f": b"frozen"}, index=2, term=1)
    frozen = state.freeze()
    assert frozen is not None
    assert state.freeze() is None
    state.write({b"c": None, b"e": b"live", b"b2": b"live", b"f": None}, index=3, term=1)
    expected = [(b"a", b"disk"), (b"b2", b"live"), (b"d", b"disk"), (b"e", b"live")]
    assert state.scan(b"", None, limit=10) == expected
    state.flush(frozen)
    assert state.scan(b"", None, limit=10) == expected
    assert (state.checkpoint, state.applied) == ((1, 1), (3, 1))
    state.thaw(frozen)
    assert state.scan(b"", None, limit=10) == expected
    assert state.checkpoint == (2, 1)
    state.close()
    disk = [(b"a", b"disk"), (b"c", b"frozen"), (b"d", b"disk"), (b"e", b"frozen"), (b"f", b"frozen")]
    assert medium.state().scan(b"", None, limit=10) == disk


def test_a_checkpoint_moves_even_if_no_key_changed(medium: Medium) -> None:
    """Else a log of entries that change nothing could never be trimmed."""
    state = medium.state()
    state.write({}, index=7, term=2)
    checkpoint(state)
    state.close()
    assert medium.state().checkpoint == (7, 2)


def test_scan_keeps_its_bounds_and_its_limit(medium: Medium) -> None:
    state = medium.state()
    state.write({b"%02d" % number: b"disk" for number in range(0, 100, 2)}, index=1, term=1)
    checkpoint(state)
    state.write({b"%02d" % number: b"live" for number in range(1, 100, 2)}, index=2, term=1)
    assert [key for key, _ in state.scan(b"10", b"14", limit=10)] == [b"10", b"11", b"12", b"13"]
    assert [key for key, _ in state.scan(b"105", b"13", limit=10)] == [b"11", b"12"]
    assert [key for key, _ in state.scan(b"98", None, limit=10)] == [b"98", b"99"]
    assert [key for key, _ in state.scan(b"", None, limit=3)] == [b"00", b"01", b"02"]
    assert state.scan(b"14", b"10", limit=10) == state.scan(b"14", b"14", limit=10) == []
    assert state.scan(b"", None, limit=0) == []
    assert state.scan(b"9" + b"x" * 600, None, limit=10) == []
    assert state.scan(b"98" + b"\0" * 600, None, limit=10) == [(b"99", b"live")]


def test_the_head_of_a_long_value_is_not_paid_for_with_all_of_it(medium: Medium) -> None:
    state = medium.state()
    long = b"head" + bytes(HEAD_VERIFIED_BYTES)
    state.write({b"a": long, b"b": b"short"}, index=1, term=1)
    for _ in range(2):
        assert (state.head(b"a", 4), state.head(b"b", 9), state.head(b"c", 9)) == (b"head", b"short", None)
        assert state.scan(b"", None, limit=9, length=4) == [(b"a", b"head"), (b"b", b"shor")]
        checkpoint(state) if state.checkpoint != state.applied else None
    assert state.head(b"x" * (KEY_BYTES_MAX + 1), 4) is None


def test_the_head_of_a_damaged_value_is_refused_unless_it_is_long() -> None:
    """Hazard B81: who asks for a head alone would have to read all of a long value to verify it."""
    store = MemoryStateStore(MemoryDisk())
    store.write({b"a": bytes(HEAD_VERIFIED_BYTES), b"b": b"short"}, index=1, term=1)
    checkpoint(store)
    for key in (b"a", b"b"):
        store.flip_value_bit(key, bit=-1)
        with pytest.raises(FolderDamaged):
            store.get(key)
    assert store.head(b"a", 4) == bytes(4)
    with pytest.raises(FolderDamaged):
        store.head(b"b", 4)


@pytest.mark.parametrize("key", [b"", b"x" * (KEY_BYTES_MAX + 1)])
def test_a_key_that_a_flush_could_not_store_is_refused_with_all_its_write(medium: Medium, key: bytes) -> None:
    """A key that LMDB refuses would stop the flush of every later change too (hazard B67)."""
    state = medium.state()
    with pytest.raises(Misused):
        state.write({b"good": b"1", key: b"2"}, index=1, term=1)
    assert (state.get(b"good"), state.get(key), state.applied) == (None, None, (0, 0))


def test_the_longest_key_is_stored(medium: Medium) -> None:
    state = medium.state()
    longest = b"\xff" * KEY_BYTES_MAX
    state.write({longest: b"1"}, index=1, term=1)
    checkpoint(state)
    assert state.get(longest) == b"1"
    assert state.scan(longest, None, limit=1) == [(longest, b"1")]


@pytest.mark.parametrize("index", [1, 0, INDEX_MAX + 1])
def test_an_index_is_applied_once(medium: Medium, index: int) -> None:
    """Applying an entry twice is what an applied index apart from its data leads to (hazard B30)."""
    state = medium.state()
    state.write({b"a": b"1"}, index=1, term=1)
    with pytest.raises(Misused):
        state.write({b"a": b"2"}, index=index, term=1)
    assert state.get(b"a") == b"1"


def test_only_the_frozen_changes_can_be_thawed(medium: Medium) -> None:
    state = medium.state()
    state.write({b"a": b"1"}, index=1, term=1)
    with pytest.raises(Misused):
        state.thaw(FrozenChanges({}, 1, 1, 0))
    frozen = state.freeze()
    assert frozen is not None
    with pytest.raises(Misused):
        state.thaw(FrozenChanges({}, 1, 1, 0))
    with pytest.raises(Misused):
        state.clear()
    state.flush(frozen)
    state.thaw(frozen)
    with pytest.raises(Misused):
        state.thaw(frozen)


def test_change_bytes_follow_what_the_next_flush_carries(medium: Medium) -> None:
    state = medium.state()
    state.write({b"ab": b"123", b"c": None}, index=1, term=1)
    counted_bytes = 6 + DELETION_BYTES + 2 * CHANGE_OVERHEAD_BYTES
    assert state.change_bytes == counted_bytes
    frozen = state.freeze()
    assert frozen is not None
    assert (frozen.change_bytes, frozen.index, frozen.term) == (counted_bytes, 1, 1)
    assert state.change_bytes == 0


def test_changes_take_memory_until_they_are_durable(medium: Medium) -> None:
    state = medium.state()
    assert state.memory_bytes == 0
    state.write({b"ab": b"123", b"c": None}, index=1, term=1)
    first_bytes = 6 + 2 * CHANGE_OVERHEAD_BYTES
    assert state.memory_bytes == first_bytes
    state.write({b"ab": b"1", b"c": b"12345"}, index=2, term=1)
    assert state.memory_bytes == first_bytes - 2 + 5, "what is overwritten takes nothing more"
    frozen = state.freeze()
    assert frozen is not None
    state.write({b"ab": b"12345678"}, index=3, term=1)
    both_bytes = first_bytes + 3 + 10 + CHANGE_OVERHEAD_BYTES
    assert state.memory_bytes == both_bytes
    state.flush(frozen)
    assert state.memory_bytes == both_bytes, "nobody has been told yet"
    state.thaw(frozen)
    state.write({b"ab": b"12345678"}, index=4, term=1)
    assert state.memory_bytes == 10 + CHANGE_OVERHEAD_BYTES


def test_clear_leaves_nothing_behind(medium: Medium) -> None:
    state = medium.state()
    state.write({b"a": b"1"}, index=1, term=1)
    checkpoint(state)
    state.write({b"b": b"1"}, index=2, term=1)
    state.clear()
    for _ in range(2):
        assert (state.applied, state.checkpoint, state.scan(b"", None, limit=9)) == ((0, 0), (0, 0), [])
        state.close()
        state = medium.state()


def test_a_flush_runs_on_its_own_thread_while_another_reads(medium: Medium) -> None:
    state = medium.state()
    state.write({b"%05d" % number: b"old" for number in range(5000)}, index=1, term=1)
    checkpoint(state)
    state.write({b"%05d" % number: b"new" for number in range(5000)}, index=2, term=1)
    frozen = state.freeze()
    assert frozen is not None
    with pytest.raises(Misused):
        run_in_thread(lambda: state.flush(frozen))

    def flush() -> None:
        state.claim_writes()
        state.flush(frozen)

    thread = threading.Thread(target=flush)
    thread.start()
    while thread.is_alive():
        assert state.get(b"04999") == b"new"
        assert state.scan(b"00100", None, limit=2) == [(b"00100", b"new"), (b"00101", b"new")]
    thread.join()
    state.thaw(frozen)
    assert {value for _, value in state.scan(b"", None, limit=9999)} == {b"new"}


def run_in_thread(work: object) -> None:
    """Run `work` on another thread and raise here what it raised there."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            assert callable(work)
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in raised:
        raise error


KEYS = st.sampled_from([b"a", b"b", b"ba", b"bb", b"c", b"\x00", b"\xff", b"\xff\xff", b"d" * KEY_BYTES_MAX])
VALUES = st.none() | st.binary(max_size=8)
BOUNDS = st.sampled_from([b"", b"a", b"b", b"b\x00", b"bb", b"c", b"e", b"\xff", b"\xff\xff\xff"])


class StateAgainstDictionary(RuleBasedStateMachine):
    """Random writes, reads, steps of a checkpoint and crashes on a state, beside the same done to dictionaries."""

    kind = "memory"

    @initialize()
    def start(self) -> None:
        self.folder = scratch_folder()
        self.medium = Medium(self.kind, self.folder / "store")
        self.state: StateStore = self.medium.state()
        self.now: dict[bytes, bytes] = {}
        self.durable: dict[bytes, bytes] = {}
        self.when_frozen: dict[bytes, bytes] = {}
        self.frozen: FrozenChanges | None = None
        self.flushed = False
        self.index = self.durable_index = 0

    @rule(changes=st.dictionaries(KEYS, VALUES, max_size=6))
    def write(self, changes: dict[bytes, bytes | None]) -> None:
        self.index += 1
        self.state.write(changes, index=self.index, term=1)
        for key, value in changes.items():
            if value is None:
                self.now.pop(key, None)
            else:
                self.now[key] = value

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.state.get(key) == self.now.get(key)

    @rule(key=KEYS, length=st.integers(0, 9))
    def head(self, key: bytes, length: int) -> None:
        value = self.now.get(key)
        assert self.state.head(key, length) == (None if value is None else value[:length])

    @rule(first=BOUNDS, end=st.none() | BOUNDS, limit=st.integers(0, 9), length=st.none() | st.integers(0, 9))
    def scan(self, first: bytes, end: bytes | None, limit: int, length: int | None) -> None:
        inside = sorted(
            (k, v[:length]) for k, v in self.now.items() if first <= k and (end is None or k < end)
        )
        assert self.state.scan(first, end, limit=limit, length=length) == inside[:limit]

    @rule()
    def freeze(self) -> None:
        frozen = self.state.freeze()
        if self.frozen is not None:
            assert frozen is None
        elif frozen is not None:
            self.frozen, self.when_frozen = frozen, dict(self.now)

    @precondition(lambda self: self.frozen is not None and not self.flushed)
    @rule()
    def flush(self) -> None:
        assert self.frozen is not None
        self.state.flush(self.frozen)
        self.durable, self.durable_index, self.flushed = dict(self.when_frozen), self.frozen.index, True

    @precondition(lambda self: self.flushed)
    @rule()
    def thaw(self) -> None:
        assert self.frozen is not None
        self.state.thaw(self.frozen)
        assert self.state.checkpoint == (self.durable_index, 1)
        self.frozen, self.flushed = None, False

    @rule()
    def crash(self) -> None:
        self.state.close()
        self.medium.disk.crash()
        self.state = self.medium.state()
        self.now, self.index = dict(self.durable), self.durable_index
        self.frozen, self.flushed = None, False
        assert self.state.applied == self.state.checkpoint == (self.index, 1 if self.index else 0)
        assert self.state.scan(b"", None, limit=99) == sorted(self.now.items())

    def teardown(self) -> None:
        self.state.close()
        shutil.rmtree(self.folder)


def machine(kind: str) -> type[StateAgainstDictionary]:
    return type(f"StateAgainstDictionary_{kind}", (StateAgainstDictionary,), {"kind": kind})


TestLmdb = machine(KINDS[0]).TestCase
TestMemory = machine(KINDS[1]).TestCase
TestLmdb.settings = TestMemory.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
