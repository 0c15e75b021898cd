"""Log lines kept in memory."""

import logging
from collections.abc import Iterator

import pytest

from tests.log_records import recorded


@pytest.fixture(autouse=True)
def log_records() -> Iterator[list[logging.LogRecord]]:
    with recorded() as records:
        yield records
