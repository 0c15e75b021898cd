"""What a client may get wrong over HTTP: a clear 4xx, the node is asked nothing, and the next request is served."""

import pytest

from tests.bad_input import EXECUTE, RAW, REQUESTS, assert_error
from tests.frontend.support import Harness, get, post

JUDGED_ELSEWHERE = {"a stale write", "peers without an upgrade"}
"""By the node, and by the server of its peers: `tests/e2e/test_bad_input.py` has them."""


async def assert_refused(http: Harness, request: bytes, status: int, code: str) -> None:
    response = await http.request(request)
    assert (response.status, response.code) == (status, code), (response.status, response.body[:300])
    assert_error(response.body)
    assert http.node.executed == []
    assert (await http.request(get("/livez"))).status == 200


@pytest.mark.parametrize("case", sorted(set(EXECUTE) - JUDGED_ELSEWHERE))
async def test_a_bad_command(http: Harness, case: str) -> None:
    """A node that is not asked need not lead: there is no redirect for what no leader would take."""
    content, status, code = EXECUTE[case]
    await assert_refused(http, post(content), status, code)


@pytest.mark.parametrize("case", sorted(set(REQUESTS) - JUDGED_ELSEWHERE))
async def test_a_bad_request(http: Harness, case: str) -> None:
    method, target, status, code = REQUESTS[case]
    await assert_refused(http, get(target, method=method), status, code)


@pytest.mark.parametrize("case", RAW)
async def test_bytes_that_are_no_request(http: Harness, case: str) -> None:
    request, status, code = RAW[case]
    await assert_refused(http, request, status, code)
