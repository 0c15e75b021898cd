"""What is sent under a lock, and how its answer is read."""

import json

import pytest

from raftdb.client import methods
from raftdb.client.fences import Fence, fenced
from raftdb.client.flow import Method
from raftdb.client.given import as_bytes
from raftdb.client.http1 import Response
from raftdb.client.leases import Lease, LockLost, now_ms
from raftdb.client.service_methods import holder


def fence(name: bytes, token: int, *, is_shared: bool = False) -> Fence:
    return Fence(name, token, is_shared, Lease(60_000, sent_ms=now_ms()))


def fences() -> list[Fence]:
    return [fence(b"a", 3), fence(b"\xff", 7, is_shared=True)]


@pytest.mark.parametrize(
    "method", [methods.incr("k", 1), methods.transact(as_bytes, [("incr", ["k"])], {b"w": 4}, "redis")]
)
def test_a_write_names_every_lock_and_its_token(method: Method[object]) -> None:
    assert method.request is not None
    found = fenced(method, fences()).request
    assert found is not None
    written = [["a", {"token": 3, "shared": False}], [{"base64": "/w=="}, {"token": 7, "shared": True}]]
    assert found.content == {**(method.request.content or {}), "fences": written}
    assert found.target == method.request.target


def test_what_is_no_write_is_sent_as_it_is() -> None:
    read = methods.get(as_bytes, "k", "linearizable")
    assert fenced(read, fences()) is read


def test_what_was_lost_by_this_clock_is_not_sent_at_all() -> None:
    over = fence(b"a", 3)
    over.lease.end()
    with pytest.raises(LockLost, match="'a'"):
        fenced(methods.incr("k", 1), [over])


def test_who_holds_a_lock_is_read_by_name() -> None:
    info = ["limit", 0, "held", 1, "waiting", 0, "holders", [["me 1-1", "exclusive", 12, 5, 9]], "line", []]
    response = Response(200, {}, json.dumps({"result": info, "index": 1, "term": 1}).encode())
    assert holder(b"a").parse(response) == (b"me 1-1", 12)
    nobody = Response(200, {}, json.dumps({"result": None, "index": 1, "term": 1}).encode())
    assert holder(b"a").parse(nobody) is None
