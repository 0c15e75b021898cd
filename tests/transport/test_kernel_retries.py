"""What the kernel is told of a link's trips (hazards B93, B110)."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from raftdb.transport import kernel_retries
from raftdb.transport.kernel_retries import (
    RETRY_CAP_MS_MAX,
    RETRY_CAP_MS_MIN,
    RETRY_CAP_TRIPS,
    TCP_RTO_MAX_MS,
    fit_kernel_retries,
    has_retry_cap,
    retry_cap_ms,
)
from raftdb.transport.limits import LinkLimits
from raftdb.transport.stream import FrameStream
from raftdb.transport.trips import TRIPS_WAITED, Trips
from tests.transport.support import FAST, identity, receiver, sender, wait_until

LIMITS = LinkLimits()
UNKNOWN_OPTION = 30_000


def measured(*trips_s: float) -> Trips:
    trips = Trips()
    for seconds in trips_s:
        trips.note(seconds)
    return trips


def told(stream: FrameStream, option: int) -> int:
    """What the kernel says that this option of the stream's socket is."""
    transport = stream.transport
    assert transport is not None
    value: int = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, option)
    return value


def rounded(milliseconds: int) -> Any:
    """The kernel keeps times in ticks of its own, of at most ten milliseconds."""
    return pytest.approx(milliseconds, abs=10)


@asynccontextmanager
async def connection() -> AsyncIterator[FrameStream]:
    """One end of a real connection; the other end only takes it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    _, stream = await loop.create_connection(FrameStream, *server.sockets[0].getsockname())
    try:
        yield stream
    finally:
        stream.abort()
        await stream.ended
        server.close()


@pytest.fixture
def capped() -> None:
    """Skip where the kernel has no such option."""
    with socket.socket() as probe:
        try:
            probe.getsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS)
        except OSError:
            pytest.skip("no TCP_RTO_MAX_MS here: it takes Linux 6.15")
    has_retry_cap.cache_clear()


@pytest.fixture
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernel does not know the option."""
    kernel_retries.logger.setLevel(logging.DEBUG)
    monkeypatch.setattr(kernel_retries, "TCP_RTO_MAX_MS", UNKNOWN_OPTION)
    has_retry_cap.cache_clear()
    yield
    kernel_retries.logger.setLevel(logging.NOTSET)
    has_retry_cap.cache_clear()


def test_nothing_is_repeated_before_some_trips_have_passed() -> None:
    assert retry_cap_ms(measured()) == RETRY_CAP_MS_MAX
    assert retry_cap_ms(measured(0.0002)) == retry_cap_ms(measured(0.2)) == RETRY_CAP_MS_MIN
    assert retry_cap_ms(measured(2.0)) == RETRY_CAP_TRIPS * 2000
    assert retry_cap_ms(measured(100.0)) == RETRY_CAP_MS_MAX


def test_trips_that_lost_a_packet_do_not_lift_the_cap_but_a_way_that_became_longer_does() -> None:
    assert retry_cap_ms(measured(0.5, 0.5, 7.0, 0.5, 3.0)) == RETRY_CAP_TRIPS * 500
    assert retry_cap_ms(measured(0.01, 0.01, 2.0, 2.0)) == RETRY_CAP_TRIPS * 2000


@pytest.mark.usefixtures("capped")
async def test_the_kernel_repeats_at_least_as_often_as_the_trips_allow() -> None:
    async with connection() as stream:
        assert told(stream, TCP_RTO_MAX_MS) != RETRY_CAP_TRIPS * 700
        fit_kernel_retries(stream, measured(0.7), LIMITS)
        assert told(stream, TCP_RTO_MAX_MS) == RETRY_CAP_TRIPS * 700


async def test_the_kernel_gives_up_after_as_long_as_a_frame_may_take() -> None:
    async with connection() as stream:
        fit_kernel_retries(stream, measured(2.0), LIMITS)
        assert told(stream, socket.TCP_USER_TIMEOUT) == TRIPS_WAITED * 2000


@pytest.mark.usefixtures("capped")
async def test_both_ends_of_a_link_are_capped_and_every_ping_fits_that_anew() -> None:
    limits = replace(FAST, ping_s=0.01)
    async with (
        receiver(identity("n2")) as node,
        sender(identity("n1"), {"n2": node.address}, limits=limits) as (links, log),
    ):
        await wait_until(lambda: bool(links.connected()) and bool(node.peers.connected()))
        incoming, outgoing = node.peers._links["n1"], links._links["n2"]
        dialled = outgoing._stream
        assert dialled is not None
        for stream, trips in ((incoming.stream, incoming.trips), (dialled, outgoing._trips)):
            assert told(stream, TCP_RTO_MAX_MS) == rounded(retry_cap_ms(trips))
            assert told(stream, TCP_RTO_MAX_MS) < RETRY_CAP_MS_MAX
            assert told(stream, socket.TCP_USER_TIMEOUT) >= limits.send_min_s * 1000
        fit_kernel_retries(dialled, measured(5.0), limits)
        assert told(dialled, TCP_RTO_MAX_MS) == RETRY_CAP_TRIPS * 5000
        await wait_until(lambda: told(dialled, TCP_RTO_MAX_MS) == rounded(retry_cap_ms(outgoing._trips)))
        assert log.count("down") == 0


@pytest.mark.usefixtures("old_kernel")
async def test_a_kernel_without_the_option_is_passed_over_with_one_word(
    log_records: list[logging.LogRecord],
) -> None:
    async with connection() as stream:
        for _ in range(2):
            fit_kernel_retries(stream, measured(2.0), LIMITS)
        assert told(stream, socket.TCP_USER_TIMEOUT) == TRIPS_WAITED * 2000
    said = [record for record in log_records if "retransmission" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.DEBUG]
