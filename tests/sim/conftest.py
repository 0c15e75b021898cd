"""Options of the simulation tests: `pytest tests/sim --long` searches for as long as patience allows."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="simulate thousands of seeds and wider bounds")


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    """True with `--long`; the option is unknown if pytest was not started on this folder."""
    return bool(request.config.getoption("--long", default=False))
