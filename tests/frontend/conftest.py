"""A running HTTP server around a stub node, for each test."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.frontend.support import Harness, Ways, running
from tests.log_records import recorded


@pytest.fixture(autouse=True)
def log_records() -> Iterator[list[logging.LogRecord]]:
    with recorded() as records:
        yield records


@pytest.fixture(params=["aiohttp", "lean"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: requests of `post` take aiohttp's way, then the lean path."""
    monkeypatch.setattr(Ways, "is_lean", request.param == "lean")


@pytest.fixture
async def http() -> AsyncIterator[Harness]:
    async with running() as harness:
        yield harness
