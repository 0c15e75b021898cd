"""Every test that asks for `medium` runs on LMDB and on its twin in memory."""

from pathlib import Path

import pytest

from tests.storage.media import KINDS, Medium


@pytest.fixture(params=KINDS)
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> Medium:
    return Medium(request.param, tmp_path / "store")
