"""A layer sees its own writes, and the view below never does."""

from hypothesis import given
from hypothesis import strategies as st

from raftdb.machine.layer import KeyValueView, Layer
from tests.machine.views import DictionaryView

KEYS = st.sampled_from([b"a", b"ab", b"b", b"c", b"d", b"\xff"])
PAIRS = st.dictionaries(KEYS, st.binary(max_size=2))
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2)), max_size=8)


def change(layer: Layer, changes: list[tuple[bytes, bytes | None]]) -> None:
    for key, value in changes:
        if value is None:
            layer.delete(key)
        else:
            layer.put(key, value)


@given(PAIRS, CHANGES, CHANGES, KEYS, st.none() | KEYS, st.integers(0, 8), st.none() | st.integers(0, 2))
def test_transactions_read_as_if_all_were_written_below(
    pairs: dict[bytes, bytes],
    lower_changes: list[tuple[bytes, bytes | None]],
    upper_changes: list[tuple[bytes, bytes | None]],
    first: bytes,
    end: bytes | None,
    limit: int,
    length: int | None,
) -> None:
    below = DictionaryView(dict(pairs))
    lower = Layer(below)
    change(lower, lower_changes)
    upper = Layer(lower)
    change(upper, upper_changes)
    expected = dict(pairs)
    for key, value in [*lower_changes, *upper_changes]:
        expected.pop(key, None)
        if value is not None:
            expected[key] = value
    model: KeyValueView = DictionaryView(expected)
    assert upper.scan(first, end, limit=limit, length=length) == model.scan(
        first, end, limit=limit, length=length
    )
    assert upper.get(first) == model.get(first)
    assert upper.head(first, 1) == model.head(first, 1)
    assert below.pairs == pairs
    lower.merge(upper)
    assert lower.scan(b"", None, limit=100) == sorted(expected.items())


def test_what_is_deleted_above_leaves_no_gap_in_a_limited_scan() -> None:
    below = DictionaryView({b"%d" % number: b"v" for number in range(9)})
    layer = Layer(below)
    for key in (b"0", b"1", b"3"):
        layer.delete(key)
    layer.put(b"25", b"w")
    assert [key for key, _ in layer.scan(b"", None, limit=4)] == [b"2", b"25", b"4", b"5"]


@given(PAIRS, st.lists(CHANGES, max_size=4))
def test_changes_between_scans_are_seen_in_their_order(
    pairs: dict[bytes, bytes], rounds: list[list[tuple[bytes, bytes | None]]]
) -> None:
    layer, expected = Layer(DictionaryView(dict(pairs))), dict(pairs)
    for changes in rounds:
        change(layer, changes)
        for key, value in changes:
            expected.pop(key, None)
            if value is not None:
                expected[key] = value
        assert layer.scan(b"", None, limit=100) == sorted(expected.items())


def test_a_scan_asks_below_for_what_it_returns_however_much_was_changed() -> None:
    class AskedView(DictionaryView):
        asked = 0

        def scan(
            self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
        ) -> list[tuple[bytes, bytes]]:
            self.asked += limit
            return super().scan(first, end, limit=limit, length=length)

    view = AskedView({b"a%04d" % number: b"v" for number in range(2_000)})
    layer = Layer(view)
    for number in range(1_000):
        layer.delete(b"b%04d" % number)
        layer.put(b"c%04d" % number, b"v")
        assert len(layer.scan(b"a", None, limit=1)) == 1
    assert (view.asked, layer.passed) == (1_000, 1_000)
    assert len(layer.scan(b"b", None, limit=1)) == 1
    assert layer.passed == 1_000 + 1_001


def test_what_is_read_through_layers_is_counted_once() -> None:
    lower = Layer(DictionaryView({b"a": b"12345"}))
    upper = Layer(lower)
    for _ in range(3):
        upper.get(b"a")
    upper.head(b"a", 2)
    upper.put(b"b", b"123")
    assert (lower.looked_up, lower.moved_bytes) == (0, 0)
    lower.count(upper)
    assert (lower.looked_up, lower.moved_bytes) == (4, 18)


def test_a_deleted_key_is_a_change_and_not_a_gap() -> None:
    layer = Layer(DictionaryView({b"a": b"1"}))
    layer.delete(b"a")
    layer.delete(b"never")
    assert layer.changes == {b"a": None, b"never": None}
    assert layer.get(b"a") is None


def test_the_earliest_deadline_is_remembered_through_layers() -> None:
    lower = Layer(DictionaryView())
    lower.merge(Layer(lower))
    assert lower.deadline_ms is None
    for time_ms, earliest_ms in ((7, 7), (9, 7), (5, 5)):
        upper = Layer(lower)
        upper.note_deadline(time_ms)
        lower.merge(upper)
        assert lower.deadline_ms == earliest_ms
