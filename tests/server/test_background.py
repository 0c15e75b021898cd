"""What a node has under way beside its turns: nothing of it ends in silence."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from raftdb.background import Background
from raftdb.errors import Fatal
from storage.errors import WriteFailed

WAIT_S = 10.0


class Owner:
    """Who is told."""

    def __init__(self) -> None:
        self.failures: list[Fatal] = []
        self.is_told = asyncio.Event()
        self.background = Background(self._failed)

    def _failed(self, error: Fatal) -> None:
        self.failures.append(error)
        self.is_told.set()


@pytest.fixture
async def owner() -> Owner:
    return Owner()


async def raises() -> None:
    raise KeyError("what nobody thought of")


async def fatal() -> None:
    raise Fatal("the disk", exit_code=4)


async def is_told_by_storage() -> None:
    raise WriteFailed("cannot write the log: input/output error", hint="mend the disk")


async def waits_for_what_is_cancelled() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize(
    ("work", "message", "exit_code"),
    [
        (is_told_by_storage, "cannot write the log: input/output error", 1),
        (raises, "KeyError: 'what nobody thought of'", 1),
        (fatal, "the disk", 4),
        (waits_for_what_is_cancelled, "CancelledError", 1),
    ],
)
async def test_a_task_that_ends_as_nobody_meant_it_to_is_told_of(
    work: Callable[[], Awaitable[None]],
    message: str,
    exit_code: int,
    owner: Owner,
    log_records: list[logging.LogRecord],
) -> None:
    owner.background.start(work(), name="the work")  # type: ignore[arg-type]
    async with asyncio.timeout(WAIT_S):
        await owner.is_told.wait()
    (failure,) = owner.failures
    assert failure.message.startswith(message)
    assert failure.exit_code == exit_code
    (record,) = log_records
    assert vars(record)["fields"] == {"in": "the work"}
    await owner.background.close()
    assert len(owner.failures) == 1


async def test_what_a_timer_calls_is_watched_as_tasks_are(owner: Owner) -> None:
    called: list[object] = []
    owner.background.after(0.0, called.append, 1)
    owner.background.after(0.0, lambda: called.remove(2))
    async with asyncio.timeout(WAIT_S):
        await owner.is_told.wait()
    assert called == [1]
    assert [failure.message for failure in owner.failures] == ["ValueError: list.remove(x): x not in list"]


async def test_what_ends_by_itself_or_is_cancelled_is_no_failure(owner: Owner) -> None:
    async def short() -> None:
        pass

    finished = owner.background.start(short(), name="short")
    cancelled = owner.background.start(asyncio.sleep(3600), name="long")
    await finished
    cancelled.cancel()
    await asyncio.wait([cancelled])
    await owner.background.close()
    assert owner.failures == []


async def test_close_ends_what_there_is_and_what_comes_later(owner: Owner) -> None:
    ended: list[str] = []

    async def long(name: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    task = owner.background.start(long("early"), name="early")
    owner.background.after(0.0, ended.append, "a timer")
    cancelled = owner.background.after(3600, ended.append, "another")
    cancelled.cancel()
    while not task.get_coro().cr_running and task.get_coro().cr_await is None:  # type: ignore[union-attr]
        await asyncio.sleep(0)
    owner.background.after(0.0, ended.append, "a timer")
    await owner.background.close()
    assert "early" in ended
    before = list(ended)
    late = owner.background.start(long("late"), name="late")
    owner.background.after(0.0, ended.append, "late timer")
    await asyncio.wait([late])
    await asyncio.sleep(0)
    assert ended == before
    assert late.cancelled()
    assert owner.failures == []
