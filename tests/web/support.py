"""What the tests of pages have in common."""

import pytest

from tests.web.chrome import find

TOKEN = "a-token-of-these-tests"
ACTING = {"RAFTDB_DASHBOARD": "write", "RAFTDB_DASHBOARD_TOKEN": TOKEN}
"""The environment of nodes whose pages may act."""
IN_BROWSER = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(find() is None, reason="there is no chromium here"),
]
"""The marks of a file of tests that share one browser."""
