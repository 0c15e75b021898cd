"""The browser of a file of tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.web.chrome import Browser


@pytest.fixture(autouse=True)
def blocking_calls() -> list[str]:
    """In place of the detector: the loop that runs here serves nobody, and may wait for nodes and files."""
    return []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser
