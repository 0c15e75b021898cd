"""What is sent under a lock, and how its answer is read."""

import json
from collections.abc import Sequence

import pytest

from raftdb.client import methods
from raftdb.client.fences import Fence, fenced
from raftdb.client.given import as_bytes
from raftdb.client.http1 import Response
from raftdb.client.leases import Lease, LockLost, now_ms
from raftdb.client.service_methods import holder

EXCLUSIVE = {"command": "fence", "args": ["a", "3"]}
SHARED = {"command": "fence", "args": ["b", "7", "SHARED"]}


def fence(name: bytes, token: int, *words: str) -> Fence:
    return Fence(name, token, ("fence", *words), Lease(60_000, sent_ms=now_ms()))


FENCES = [fence(b"a", 3), fence(b"b", 7, "SHARED")]


def answered(results: Sequence[object]) -> Response:
    body = {"results": list(results), "index": 9, "term": 2}
    return Response(200, {}, json.dumps(body).encode())


def test_a_write_becomes_a_transaction_with_its_fences() -> None:
    method = fenced(methods.set_value(["k", "v"]), FENCES)
    assert method.request is not None
    assert method.request.target == "/v1/transaction"
    write = {"command": "set", "args": ["k", "v"]}
    assert method.request.content == {"mode": "atomic", "commands": [write, EXCLUSIVE, SHARED]}
    assert method.parse(answered(["OK", 1, 1])) is True
    assert method.parse(answered([None, 1, 1])) is False


def test_whether_a_deleted_key_was_there_is_told_as_without_a_fence() -> None:
    method = fenced(methods.pop(as_bytes, "k"), FENCES)
    assert method.parse(answered([1, "", 1, 1])) == b""
    assert method.parse(answered([0, "", 1, 1])) is None
    assert fenced(methods.cas("k", 3, "v"), FENCES).parse(answered(["OK", 1, 1])) == 9


def test_a_transaction_keeps_its_results_and_its_watch() -> None:
    method = fenced(methods.transact(as_bytes, [("incr", ["k"])], {b"w": 4}, "redis"), FENCES)
    assert method.request is not None
    content = {"commands": [{"command": "incr", "args": ["k"]}, EXCLUSIVE, SHARED]}
    assert method.request.content == {**content, "mode": "redis", "watch": [["w", 4]]}
    assert method.parse(answered([5, 1, 1])).results == (5,)


def test_what_is_no_write_is_sent_as_it_is() -> None:
    read = methods.get(as_bytes, "k", "linearizable")
    assert fenced(read, FENCES) is read


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
