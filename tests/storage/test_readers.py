"""What readers of LMDB can do to a store: a dead one keeps pages, an outgrown map or an old view ends in a signal.

Ours are gone before a call returns, and those of processes that died are cleared when a store is opened.
"""

import ast
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import LmdbLogStore, LmdbStateStore, LogBatch, WriteFailed
from tests.storage.media import ROOT, blocks
from tests.storage.snapshots import checkpoint

VALUE = bytes(20_000)
OVERWRITES = 200
GROWTH_BYTES = OVERWRITES * len(VALUE) // 2
"""What a store grows by at least if nothing of so many overwrites is used again."""
NOT_GROWN_BYTES = 20 * len(VALUE)

OPENS_AND_WAITS = """
import sys
import lmdb

environment = lmdb.open(sys.argv[1], max_dbs=2)
transaction = environment.begin() if sys.argv[2] == "reads" else None
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process(folder: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the environment open, and with `reads` a read transaction in it; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPENS_AND_WAITS, str(folder), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def growth_of(state: LmdbStateStore) -> int:
    """How many bytes more the file occupies after many overwrites of one key."""
    before = state.usage().allocated_bytes
    for index in range(state.applied[0] + 1, state.applied[0] + 1 + OVERWRITES):
        state.write({b"key": VALUE}, index=index, term=1)
        checkpoint(state)
    return state.usage().allocated_bytes - before


def test_a_reader_that_died_keeps_no_pages_from_being_used_again(tmp_path: Path) -> None:
    """Hazard B86. Another process has the environment open all the time, or LMDB would forget all readers by itself."""
    LmdbStateStore(tmp_path / "state", create=True).close()
    with other_process(tmp_path / "state", "idles"):
        with other_process(tmp_path / "state", "reads") as reader:
            state = LmdbStateStore(tmp_path / "state", create=False)
            assert growth_of(state) > GROWTH_BYTES, "control: a living reader does"
            reader.send_signal(signal.SIGKILL)
            reader.wait()
            assert growth_of(state) > GROWTH_BYTES, "control: a dead one that nobody looked for, too"
            state.close()
        state = LmdbStateStore(tmp_path / "state", create=False)
        assert growth_of(state) < NOT_GROWN_BYTES
        state.close()


def test_our_own_reads_leave_no_reader_behind(tmp_path: Path) -> None:
    """Hazard B86: a scan that was left half way, and every other call."""
    state = LmdbStateStore(tmp_path / "state", create=True)
    state.write({b"%d" % number: VALUE for number in range(50)}, index=1, term=1)
    checkpoint(state)
    state.get(b"1")
    state.scan(b"", None, limit=1)
    state.verify()
    state.usage()
    growth_of(state)
    assert growth_of(state) < NOT_GROWN_BYTES
    state.close()


def test_what_was_read_outlives_its_transaction_and_its_store(tmp_path: Path) -> None:
    """Hazard B87: copies, not views into a map that may be gone."""
    state = LmdbStateStore(tmp_path / "state", create=True)
    state.write({b"key": VALUE}, index=1, term=1)
    checkpoint(state)
    found = [state.get(b"key"), *(part for pair in state.scan(b"", None, limit=9) for part in pair)]
    state.close()
    log = LmdbLogStore(tmp_path / "log", create=True)
    stored = blocks(1, 3, data=VALUE, of=1)
    log.write([LogBatch(b"hard state", blocks=stored)])
    found += log.read(1, 3, bytes_max=1 << 30)
    found.append(log.load().hard_state)
    log.close()
    assert [type(one) for one in found] == [bytes] * 7
    assert found == [VALUE, b"key", VALUE, *stored, b"hard state"]


def test_a_map_that_is_full_is_not_enlarged(tmp_path: Path) -> None:
    """Hazard B87: not under a reader, and not without one."""
    map_bytes = 1 << 20
    state = LmdbStateStore(tmp_path / "state", create=True, map_bytes=map_bytes)

    def fill() -> None:
        for index in range(1, 200):
            state.write({b"%d" % index: VALUE}, index=index, term=1)
            checkpoint(state)

    with pytest.raises(WriteFailed):
        fill()
    assert state.usage().map_bytes == map_bytes
    state.close()


DANGEROUS = frozenset({"set_mapsize", "fork", "multiprocessing", "writemap", "forkserver"})
"""Names that would grow a map, take an environment into another process, or write through the map."""
ALLOWED = frozenset({("doctor.py", "fork")})
"""The doctor forks before anything is open, and its child does the reading."""


def names_in(tree: ast.AST) -> Iterator[tuple[str, object]]:
    """Every attribute, imported module and keyword argument with its value where that is written out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, None
        elif isinstance(node, ast.alias):
            yield node.name.partition(".")[0], None
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.arg, ast.literal_eval(node.value) if isinstance(node.value, ast.Constant) else None


@pytest.mark.parametrize("package", ["storage", "raftdb", "cli"])
def test_nothing_in_the_product_enlarges_a_map_or_forks(package: str) -> None:
    """Hazard B87. `writemap` may be written down as False."""
    found = [
        (path.name, name)
        for path in sorted((ROOT / package).rglob("*.py"))
        for name, value in names_in(ast.parse(path.read_text()))
        if name in DANGEROUS and value is not False
    ]
    assert set(found) <= ALLOWED
