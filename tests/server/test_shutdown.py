"""How a node ends: what one wish to stop is, that everything is closed in order, and what the node ends with."""

import asyncio
import logging
import signal
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftdb.errors import Fatal
from raftdb.server.shutdown import SIGNALS_MOMENT_SECONDS, Shutdown
from storage.errors import FolderDamaged

WAIT_S = 10.0


class Ended(Exception):
    """The process would be gone."""


def exit_now(code: int) -> None:
    raise Ended(code)


def set_time(shutdown: Shutdown, seconds: float) -> None:
    cast(Any, shutdown)._loop = SimpleNamespace(time=lambda: seconds)


async def test_signals_within_a_moment_count_once_and_a_later_one_ends_at_once() -> None:
    shutdown = Shutdown(exit_now=exit_now)
    set_time(shutdown, 100.0)
    shutdown.signalled(signal.SIGTERM)
    shutdown.signalled(signal.SIGTERM)
    set_time(shutdown, 100.0 + 0.99 * SIGNALS_MOMENT_SECONDS)
    shutdown.signalled(signal.SIGINT)
    async with asyncio.timeout(WAIT_S):
        await shutdown.asked()
    assert shutdown.failure is None
    set_time(shutdown, 100.0 + SIGNALS_MOMENT_SECONDS)
    with pytest.raises(Ended, match="1"):
        shutdown.signalled(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True])
async def test_each_signal_that_ends_programs_is_orderly_unless_it_is_to_be_ignored(
    number: signal.Signals, ignored: bool
) -> None:
    """A terminal that is closed signals what runs in it, and `nohup` keeps that away."""
    before = signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    loop = asyncio.get_running_loop()
    try:
        shutdown = Shutdown(exit_now=exit_now)
        shutdown.watch_signals()
        if ignored and number is not signal.SIGTERM:
            assert signal.getsignal(number) is signal.SIG_IGN
            return
        signal.raise_signal(number)
        async with asyncio.timeout(WAIT_S):
            await shutdown.asked()
        assert shutdown.failure is None
    finally:
        for watched in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(watched)
        signal.signal(number, before)


class Parts:
    """Parts of a node, by name, and what each raises when it is closed; `closed` says in which order they were."""

    def __init__(self, **errors: Exception | None) -> None:
        self.closed: list[str] = []
        self._errors = errors

    async def live(self, shutdown: Shutdown, *, ends_by: Exception | None = None) -> None:
        """Start the parts, in their order, and end."""
        async with shutdown.closing() as parts:
            for name in self._errors:
                parts.then(name, partial(self._close, name))
            if ends_by is not None:
                raise ends_by

    async def _close(self, name: str) -> None:
        self.closed.append(name)
        error = self._errors[name]
        if error is not None:
            raise error


async def test_everything_is_closed_the_last_first_whatever_one_of_them_does() -> None:
    parts = Parts(first=None, second=KeyError("second"), third=None)
    with pytest.raises(Fatal, match="KeyError: 'second'"):
        await parts.live(Shutdown(exit_now=exit_now))
    assert parts.closed == ["third", "second", "first"]


async def test_the_first_failure_is_the_one_that_the_node_ends_with() -> None:
    shutdown = Shutdown(exit_now=exit_now)
    shutdown.fail(Fatal("the disk", exit_code=4))
    shutdown.fail(Fatal("what follows", exit_code=1))
    parts = Parts(part=KeyError("what follows"))
    with pytest.raises(Fatal, match="the disk") as raised:
        await parts.live(shutdown, ends_by=KeyError("a start that goes on without a disk"))
    assert raised.value.exit_code == 4
    assert parts.closed == ["part"]


@pytest.mark.parametrize("error", [Fatal("in use", exit_code=3), ValueError("a bug")], ids=repr)
@pytest.mark.parametrize("second_error", [None, KeyError("what follows")], ids=repr)
async def test_a_start_that_fails_closes_what_was_started_and_ends_with_its_reason(
    error: Exception, second_error: Exception | None
) -> None:
    parts = Parts(first=None, second=second_error)
    with pytest.raises((Fatal, ValueError)) as raised:
        await parts.live(Shutdown(exit_now=exit_now), ends_by=error)
    assert raised.value is error
    assert parts.closed == ["second", "first"]


async def test_an_error_of_storage_has_the_exit_code_of_a_start() -> None:
    with pytest.raises(Fatal) as raised:
        await Parts(disk=FolderDamaged("data", "bits")).live(Shutdown(exit_now=exit_now))
    assert raised.value.exit_code == 4


async def test_a_timeout_of_the_part_itself_is_an_error_like_any_other() -> None:
    with pytest.raises(Fatal, match="TimeoutError"):
        await Parts(part=TimeoutError("its own")).live(Shutdown(exit_now=exit_now))


@pytest.mark.parametrize(("failure", "code"), [(None, 1), (Fatal("refused", exit_code=4), 4)], ids=repr)
async def test_what_does_not_come_to_an_end_is_not_waited_for(
    failure: Fatal | None, code: int, log_records: list[logging.LogRecord]
) -> None:
    shutdown = Shutdown(end_seconds=0.01, exit_now=exit_now)
    if failure is not None:
        shutdown.fail(failure)
    with pytest.raises(Ended) as ended:
        await shutdown.close("disk", asyncio.Event().wait)
    assert ended.value.args == (code,)
    assert [vars(record)["fields"] for record in log_records if "does not end" in record.msg] == [
        {"what": "disk"}
    ]
