"""A running HTTP server around a stub node, for each test."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.frontend.support import Harness, running
from tests.log_records import recorded


@pytest.fixture(autouse=True)
def log_records() -> Iterator[list[logging.LogRecord]]:
    with recorded() as records:
        yield records


@pytest.fixture
async def http() -> AsyncIterator[Harness]:
    async with running() as harness:
        yield harness
