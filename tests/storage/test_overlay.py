"""Changes in memory are in order at any time, at a cost that does not grow with how many there are."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.overlay import (
    ORDERED_TOGETHER,
    RELEASED_MIN,
    SLICE_KEYS,
    Overlay,
    counted_bytes,
    memory_bytes,
)
from storage.scanning import PAGE_KEYS_MAX, PAGE_KEYS_MIN
from storage.state_store import LmdbStateStore


def scattered(count: int) -> list[bytes]:
    """So many keys, in an order of no use."""
    return [b"%06d" % (number * 7919 % 100_003) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, ORDERED_TOGETHER, SLICE_KEYS + 1, 10 * SLICE_KEYS + 7])
def test_slices_are_sorted_and_complete(count: int) -> None:
    overlay = Overlay()
    for key in scattered(count):
        overlay.update({key: b""})
    overlay.order()
    parts = list(overlay.slices())
    assert [key for part in parts for key in part] == sorted(overlay.changes)
    assert all(len(part) == SLICE_KEYS for part in parts[:-1])


def test_a_scan_after_a_bulk_load_has_few_keys_left_to_order(monkeypatch: pytest.MonkeyPatch) -> None:
    overlay, ordered = Overlay(), []
    order = Overlay.order

    def noted(self: Overlay) -> None:
        ordered.append(len(self._unordered))
        order(self)

    monkeypatch.setattr(Overlay, "order", noted)
    keys = scattered(20_000)
    for begin in range(0, len(keys), 100):
        overlay.update(dict.fromkeys(keys[begin : begin + 100], b"v"))
    while_loading = len(ordered)
    assert overlay.keys(b"", None, 3) == sorted(keys)[:3]
    assert while_loading >= 20_000 // (ORDERED_TOGETHER + 100)
    assert max(ordered) < ORDERED_TOGETHER + 100


CHANGES = st.dictionaries(st.binary(min_size=1, max_size=2), st.none() | st.binary(max_size=9), max_size=6)


@given(st.lists(CHANGES, max_size=6))
def test_what_is_counted_is_what_the_functions_say(rounds: list[dict[bytes, bytes | None]]) -> None:
    overlay = Overlay()
    for changes in rounds:
        overlay.update(changes)
    assert overlay.change_bytes == sum(map(counted_bytes, rounds))
    assert overlay.memory_bytes == sum(memory_bytes(*change) for change in overlay.changes.items())


@pytest.fixture
def state(tmp_path: Path) -> LmdbStateStore:
    return LmdbStateStore(tmp_path / "state", create=True)


def checkpoint(state: LmdbStateStore) -> None:
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    state.thaw(frozen)


def test_what_a_checkpoint_has_written_is_let_go_a_little_with_each_write(state: LmdbStateStore) -> None:
    """To free a large overlay at once takes as long as it took to fill."""
    keys = scattered(1_000)
    state.write(dict.fromkeys(keys, b"v"), index=1, term=1)
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    state.thaw(frozen)
    left = [len(frozen.changes)]
    index = 1
    while left[-1]:
        index += 1
        state.write({b"k": b"v", b"l": None}, index=index, term=1)
        left.append(len(frozen.changes))
    steps = [before - after for before, after in pairwise(left)]
    assert max(steps) == RELEASED_MIN + 2
    assert state.scan(b"0", b"k", limit=2_000) == [(key, b"v") for key in sorted(keys)]


@pytest.mark.parametrize("deleted", [0, PAGE_KEYS_MIN - 1, PAGE_KEYS_MIN, 3 * PAGE_KEYS_MAX])
@pytest.mark.parametrize("limit", [1, PAGE_KEYS_MIN, 2 * PAGE_KEYS_MAX])
def test_layers_are_put_together_across_their_pages(state: LmdbStateStore, deleted: int, limit: int) -> None:
    keys = sorted(scattered(6 * PAGE_KEYS_MAX))
    expected: dict[bytes, bytes] = {}
    for layer, index in ((0, 1), (1, 2), (2, 3)):
        changes: dict[bytes, bytes | None] = dict.fromkeys(keys[layer::3], b"%d" % layer)
        if layer:
            changes |= dict.fromkeys(keys[layer * 7 : layer * 7 + deleted])
        state.write(changes, index=index, term=1)
        for key, value in changes.items():
            expected.pop(key, None)
            if value is not None:
                expected[key] = value
        if layer == 0:
            checkpoint(state)
        elif layer == 1:
            state.freeze()
    pairs = sorted(expected.items())
    assert state.scan(b"", None, limit=limit) == pairs[:limit]
    end = keys[4 * PAGE_KEYS_MAX]
    assert state.scan(keys[1], end, limit=limit) == [p for p in pairs if keys[1] <= p[0] < end][:limit]
