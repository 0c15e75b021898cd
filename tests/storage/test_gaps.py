"""What was deleted is stepped over once: the scans after that go on behind it, and see all that is there."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import storage.gaps
import storage.scanning
from storage.gaps import Gaps
from storage.overlay import Overlay
from storage.scanning import PAGE_KEYS_MIN
from storage.state_store import LmdbStateStore

KEYS = st.lists(st.integers(0, 5), min_size=1, max_size=2).map(bytes)
STEPS = st.one_of(
    st.tuples(st.just("note"), KEYS, KEYS), st.tuples(st.just("written"), st.lists(KEYS, max_size=3))
)
ALL_KEYS = sorted([bytes((a,)) for a in range(6)] + [bytes((a, b)) for a in range(6) for b in range(6)])


@pytest.mark.parametrize("gaps_max", [2, 1000])
@given(steps=st.lists(STEPS, max_size=12))
def test_a_gap_is_what_was_said_to_be_one_and_not_written_since(gaps_max: int, steps: list[tuple]) -> None:  # type: ignore[type-arg]
    gaps, unseen = Gaps(), set[bytes]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage.gaps, "GAPS_MAX", gaps_max)
        for step in steps:
            if step[0] == "note":
                gaps.note(*step[1:])
                unseen |= {key for key in ALL_KEYS if step[1] <= key < step[2]}
            else:
                gaps.written(step[1])
                unseen -= set(step[1])
            assert all(end < first for end, first in zip(gaps._ends, gaps._firsts[1:], strict=False))
            assert len(gaps._firsts) <= gaps_max
            for key in ALL_KEYS:
                found = gaps.after(key)
                skipped = [one for one in ALL_KEYS if key <= one < found]
                assert unseen.issuperset(skipped)
                if gaps_max > len(steps) and key in unseen:
                    assert found > key


CHANGES = st.dictionaries(
    st.binary(min_size=1, max_size=1), st.none() | st.just(b"v"), min_size=1, max_size=40
)


@settings(max_examples=30)
@given(
    rounds=st.lists(st.tuples(CHANGES, st.booleans(), KEYS, st.none() | KEYS, st.integers(1, 30)), max_size=8)
)
def test_scans_see_what_is_there_whatever_was_passed_before(
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[tuple],  # type: ignore[type-arg]
) -> None:
    state = LmdbStateStore(tmp_path_factory.mktemp("state"), create=True)
    expected: dict[bytes, bytes] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage.scanning, "STEPPED_OVER_MIN", 1)
        for index, (changes, is_frozen, first, end, limit) in enumerate(rounds, 1):
            state.write(changes, index=index, term=1)
            for key, value in changes.items():
                expected.pop(key, None)
                if value is not None:
                    expected[key] = value
            frozen = state.freeze() if is_frozen else None
            for _ in range(2):
                pairs = [
                    pair
                    for pair in sorted(expected.items())
                    if first <= pair[0] and (end is None or pair[0] < end)
                ]
                assert state.scan(first, end, limit=limit) == pairs[:limit]
                assert state.scan(b"", b"\xff\xff", limit=1000) == sorted(expected.items())
                if frozen is not None:
                    state.flush(frozen)
                    state.thaw(frozen)
                    frozen = None
    state.close()


def test_a_range_that_was_deleted_is_stepped_over_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand scans of one transaction over it would hold up every node for minutes."""
    state = LmdbStateStore(tmp_path / "state", create=True)
    keys = [b"k%05d" % number for number in range(20_000)]
    state.write(dict.fromkeys(keys, b"v"), index=1, term=1)
    state.write(dict.fromkeys(keys), index=2, term=1)
    passed = 0
    page = Overlay.keys

    def counted(self: Overlay, first: bytes, end: bytes | None, limit: int) -> list[bytes]:
        nonlocal passed
        found = page(self, first, end, limit)
        passed += len(found)
        return found

    monkeypatch.setattr(Overlay, "keys", counted)
    assert state.scan(b"k", b"l", limit=1) == []
    once = passed
    for _ in range(100):
        assert state.scan(b"k", b"l", limit=1) == []
    state.write({b"k1": b"v"}, index=3, term=1)
    for _ in range(100):
        assert state.scan(b"k", b"l", limit=2) == [(b"k1", b"v")]
    assert passed <= once + 100 * PAGE_KEYS_MIN
    state.close()
