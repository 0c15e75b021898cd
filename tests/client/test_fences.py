"""What is sent under a lock."""

import pytest

from raftdb.client.fences import Fence, fenced
from raftdb.client.leases import Lease, LockLost, now_ms
from raftdb.client.protocol import Kind, Request

WRITE = Request("POST", "/v1/execute", {"command": "set", "args": ["k", "v"]}, Kind.WRITE)


def fence(name: bytes, token: int) -> Fence:
    return Fence(name, token, False, Lease(60_000, sent_ms=now_ms()))


def test_a_write_names_every_lock_and_its_token() -> None:
    request = fenced(WRITE, [fence(b"a", 3), fence(b"b", 7)])
    assert request.content == {"command": "set", "args": ["k", "v"], "fences": {"a": 3, "b": 7}}


@pytest.mark.parametrize("kind", [Kind.READ, Kind.ANY_NODE, Kind.CHANGE, Kind.TASK])
def test_what_is_no_write_is_sent_as_it_is(kind: Kind) -> None:
    request = Request("GET", "/v1/members", None, kind)
    assert fenced(request, [fence(b"a", 3)]) is request


def test_what_was_lost_by_this_clock_is_not_sent_at_all() -> None:
    over = fence(b"a", 3)
    over.lease.end()
    with pytest.raises(LockLost, match="'a'"):
        fenced(WRITE, [over])
