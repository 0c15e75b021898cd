"""The order of the services in the one key space."""

from pathlib import Path

from raftdb.machine import keyspace
from raftdb.machine.keyspace import KEY_VALUE_PREFIX, VALUE_COUNT_KEY, encode_string
from storage.state_store import LmdbStateStore
from tests.machine.database import KEY_VALUE_END

COUNT = 20_000
VALUE = bytes(100)
BYTES_PER_VALUE = len(KEY_VALUE_PREFIX + b"%08d" % 0 + encode_string(VALUE, revision=1))


def test_prefixes_are_apart_and_the_values_come_last() -> None:
    prefixes = [
        value
        for name, value in sorted(vars(keyspace).items())
        if name.endswith(("_PREFIX", "_KEY")) and not name.startswith("_")
    ]
    assert len(prefixes) > 5
    assert {len(prefix) for prefix in prefixes} == {1}
    assert len(set(prefixes)) == len(prefixes)
    assert max(prefixes) == KEY_VALUE_PREFIX < KEY_VALUE_END


def test_values_whose_keys_ascend_fill_their_pages(tmp_path: Path) -> None:
    """With a record behind them every page is split in the middle, and the state is twice as large."""
    state = LmdbStateStore(tmp_path / "state", create=True)
    value = encode_string(VALUE, revision=1)
    for index, first in enumerate(range(0, COUNT, COUNT // 10), start=1):
        changes = {KEY_VALUE_PREFIX + b"%08d" % number: value for number in range(first, first + COUNT // 10)}
        state.write({**changes, VALUE_COUNT_KEY: bytes(8)}, index=index, term=1)
        frozen = state.freeze()
        assert frozen is not None
        state.flush(frozen)
        state.thaw(frozen)
    assert state.usage().used_bytes < 1.3 * COUNT * BYTES_PER_VALUE
    state.close()
