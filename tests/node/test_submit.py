"""Callbacks of who waits for an answer: called once, in the turn that has it; and not for what is refused at once."""

from collections.abc import AsyncIterator

import pytest

from raftdb.budgets import KEYS_ON_LOOP_MAX
from raftdb.errors import RaftdbError, RequestRefused, Unavailable
from raftdb.machine.batches import MultiSet
from raftdb.machine.strings import Get, Set
from raftdb.node import driver as node_driver
from raftdb.node.driver import Driver
from raftdb.node.effects import OnAnswer
from raftdb.node.turn import Answer
from tests.node.test_driver import leading, wait_for

MANY = MultiSet(tuple((b"%d" % number, b"v") for number in range(KEYS_ON_LOOP_MAX + 1)))


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    async with leading() as (made, _):
        yield made


async def test_a_callback_is_called_once_and_never_before_submit_returns(driver: Driver) -> None:
    told: list[Answer | RaftdbError | None] = []
    driver.submit(Set(b"k", b"v"), told.append)
    assert told == []
    await wait_for(lambda: bool(told))
    driver.submit(Get(b"k"), told.append)
    driver.submit(Get(b"k"), told.append, stale=True)
    assert len(told) == 1
    await wait_for(lambda: len(told) == 3)
    assert [answer.value for answer in told if isinstance(answer, Answer)] == [True, b"v", b"v"]


async def test_writes_are_answered_in_their_order(driver: Driver) -> None:
    told: list[bytes] = []
    names = [b"%d" % number for number in range(50)]

    def noting(name: bytes) -> OnAnswer:
        return lambda answer: told.append(name)

    for name in names:
        driver.submit(Set(name, b"v"), noting(name))
    await wait_for(lambda: len(told) == len(names))
    assert told == names


async def test_what_is_refused_at_once_is_raised_and_nobody_is_called(driver: Driver) -> None:
    told: list[object] = []
    with pytest.raises(RequestRefused):
        driver.submit(Set(b"k", b"v"), told.append, stale=True)
    driver.submit(Get(b"k"), told.append)
    await wait_for(lambda: bool(told))
    assert len(told) == 1


async def test_what_is_encoded_on_a_thread_is_answered_like_all_else(driver: Driver) -> None:
    told: list[Answer | RaftdbError | None] = []
    driver.submit(MANY, told.append)
    await wait_for(lambda: bool(told))
    assert isinstance(told[0], Answer)
    driver.space.measured("full", grown_bytes=0, headroom_bytes=0, last_headroom_bytes=1 << 40)
    driver.submit(MANY, told.append)
    await wait_for(lambda: len(told) == 2)
    assert isinstance(told[1], Unavailable)
    assert told[1].code == "no_space"


async def test_a_driver_that_ends_tells_all_who_wait(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing gets durable any more, so nothing is answered before."""
    monkeypatch.setattr(driver, "persisted", lambda sequence: None)
    told: list[Answer | RaftdbError | None] = []
    driver.submit(MANY, told.append)
    driver.submit(Set(b"k", b"v"), told.append)
    await driver.close(grace_seconds=0)
    assert told == [None, None]
    with pytest.raises(Unavailable):
        driver.submit(Get(b"k"), told.append)


async def test_there_is_a_limit(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_driver, "REQUESTS_PENDING_MAX", 2)
    told: list[object] = []
    driver.submit(Get(b"k"), told.append)
    driver.submit(Get(b"k"), told.append)
    with pytest.raises(Unavailable) as refused:
        driver.submit(Get(b"k"), told.append)
    assert refused.value.code == "busy"
    await wait_for(lambda: len(told) == 2)
    driver.submit(Get(b"k"), told.append)
    await wait_for(lambda: len(told) == 3)
