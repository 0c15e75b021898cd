"""What changes in memory are counted for, against what they take."""

import random
import tracemalloc

import pytest

from storage.overlay import Overlay


@pytest.mark.parametrize(
    ("count", "key_bytes", "value_bytes"), [(20_000, 20, 20), (10_000, 480, 200), (500, 20, 9_000)]
)
def test_changes_are_counted_as_what_they_take_in_memory(
    count: int, key_bytes: int, value_bytes: int
) -> None:
    """Small ones take four times their bytes, which is what fills a node's memory behind a slow disk."""
    overlay, source = Overlay(), random.Random(1)
    tracemalloc.start()
    try:
        for _ in range(count // 10):
            overlay.update({source.randbytes(key_bytes): source.randbytes(value_bytes) for _ in range(10)})
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 * taken_bytes < overlay.memory_bytes < 1.25 * taken_bytes
    while overlay.release(64):
        pass
    assert overlay.memory_bytes == 0
