"""Whatever holds the event loop is seen, and said. Nothing here measures time: the loop is held until it is seen."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator

import pytest

from raftdb.node.watchdog import QUIET_SECONDS, Watchdog
from tests.log_records import recorded

SPINS_MAX = 500_000_000
"""A loop that is not seen at all ends the test some day."""


@pytest.fixture
async def watchdog() -> AsyncIterator[Watchdog]:
    made = Watchdog(election_timeout_seconds=0.2)
    made.start()
    yield made
    made.close()


def held_until(seen: threading.Event) -> None:
    """Keep the loop busy until somebody has noticed."""
    for _ in range(SPINS_MAX):
        if seen.is_set():
            return
    raise AssertionError("nobody has noticed")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once the watchdog has looked at what holds the loop."""
    from raftdb.node import watchdog

    event, plain = threading.Event(), watchdog._Watched.where

    def where(self: watchdog._Watched) -> tuple[str, ...]:
        found = plain(self)
        event.set()
        return found

    monkeypatch.setattr(watchdog._Watched, "where", where)
    return event


async def told(watchdog: Watchdog, stalls: int) -> None:
    async with asyncio.timeout(30):
        while watchdog.stalls < stalls:
            await asyncio.sleep(0.005)


async def test_what_holds_the_loop_is_said_with_its_place(watchdog: Watchdog, seen: threading.Event) -> None:
    with recorded() as records:
        # Not within a task: a plain callback, as those of HTTP and of links are.
        asyncio.get_running_loop().call_soon(held_until, seen)
        await told(watchdog, 1)
    stall = watchdog.last
    assert stall is not None
    assert any("test_watchdog.py" in place and "held_until" in place for place in stall.where)
    assert watchdog.longest_ms >= stall.milliseconds
    (record,) = [record for record in records if record.getMessage() == "the event loop was held up"]
    assert record.levelno == logging.WARNING
    fields = record.__dict__["fields"]
    assert "held_until" in fields["where"]
    assert fields["milliseconds"] > 0


async def test_a_loop_that_is_held_again_and_again_is_told_once(
    watchdog: Watchdog, seen: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raftdb.node import watchdog as module

    monkeypatch.setattr(module, "QUIET_SECONDS", QUIET_SECONDS * 1000)
    with recorded() as records:
        for number in range(1, 4):
            seen.clear()
            asyncio.get_running_loop().call_soon(held_until, seen)
            await told(watchdog, number)
    assert [record.getMessage() for record in records].count("the event loop was held up") == 1


async def test_a_loop_that_is_closed_ends_the_watch() -> None:
    made = Watchdog(election_timeout_seconds=0.2)

    async def watched() -> None:
        made.start()

    await asyncio.to_thread(asyncio.run, watched())
    assert made._thread is not None
    await asyncio.to_thread(made._thread.join, 30)
    assert not made._thread.is_alive()


async def test_an_end_of_the_watch_does_not_wait_for_the_loop(watchdog: Watchdog) -> None:
    watchdog.close()
    watchdog.close()
    assert watchdog._thread is not None
    await asyncio.to_thread(watchdog._thread.join, 30)
    assert not watchdog._thread.is_alive()
