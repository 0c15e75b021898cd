"""The blocking half of the client is made from the asynchronous one, and is what that would make today."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / ".ci" / "unasync.py"


def script() -> ModuleType:
    """The program that makes the one from the other."""
    spec = importlib.util.spec_from_file_location("unasync", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


UNASYNC = script()


@pytest.mark.parametrize("source", UNASYNC.sources(), ids=lambda source: source.stem)
def test_the_blocking_half_is_current(source: Path) -> None:
    assert UNASYNC.target_of(source).read_text() == UNASYNC.generated(source), "run .ci/unasync.py"


def test_nothing_is_written_twice_by_hand() -> None:
    """Modules of the two halves with the same name are made one from the other, but for that of input and output."""
    halves = {path.stem.removeprefix("async_") for path in UNASYNC.CLIENT.glob("async_*.py")}
    made = {path.stem.removeprefix("async_") for path in UNASYNC.sources()}
    twice = {path.stem.removeprefix("sync_") for path in UNASYNC.CLIENT.glob("sync_*.py")} & halves
    assert twice - made == {"io", "tasks"}


TWO_HALVES = '''"""Docstrings may speak of AsyncThing and async_thing."""

from raftdb.client.async_thing import AsyncThing

LIMIT = 3  # async only


class AsyncOther(AsyncThing):
    async def __aenter__(self: "AsyncOther") -> AsyncIterator[int]:
        # A comment of AsyncOther.
        limit = [await one async for one in self.all(LIMIT)]  # async only
        async with self.lock, self.other:
            return await self._read(*await self.some, "await", name=_AsyncName)

    def wrap(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
'''

ONE_HALF = '''"""Docstrings may speak of AsyncThing and async_thing."""

from raftdb.client.sync_thing import Thing



class Other(Thing):
    def __enter__(self: "Other") -> Iterator[int]:
        # A comment of AsyncOther.
        with self.lock, self.other:
            return self._read(*self.some, "await", name=_Name)

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]: ...
'''


def test_what_becomes_of_the_asynchronous_half() -> None:
    assert UNASYNC.translate(TWO_HALVES) == ONE_HALF
