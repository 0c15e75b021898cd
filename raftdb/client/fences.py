"""Fences: writes that are refused once a lock is over. No I/O.

A holder that was paused, for longer than its lease, does not know it. So every write through `held.db` names the lock
and its token, and the cluster executes it only while that token holds the lock, at the moment of the write in the log.
What this process can see for itself, by its own clock, is refused before it is sent.

A fenced write is a transaction of the write and its fences, which are asked before anything is executed, wherever they
stand. They stand at the end, so that the results, and the number of a command that fails, are what they would be
without them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from raftdb.client.flow import Method
from raftdb.client.given import as_text
from raftdb.client.http1 import Response
from raftdb.client.json_body import bytes_to_json, object_of
from raftdb.client.leases import Lease, LockLost
from raftdb.client.model import Json
from raftdb.client.protocol import Kind
from raftdb.errors import RemoteProtocolError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fence:
    """A lock under whose `token` something is written. `command` has the words that refuse a transaction if it is
    over."""

    name: bytes
    token: int
    command: tuple[str, ...]
    lease: Lease

    def worded(self) -> Json:
        """The command as JSON."""
        word, *more = self.command
        return {"command": word, "args": [bytes_to_json(self.name), bytes_to_json(self.token), *more]}


def fenced(method: Method[T], fences: Sequence[Fence]) -> Method[T]:
    """The same write, which is refused with `Fenced` if one of the locks is over. Reads, and changes of the cluster
    itself, are left as they are. Raises `LockLost` if a lock is over by the clock of this process."""
    request = method.request
    if not fences or request is None or request.kind is not Kind.WRITE:
        return method
    for fence in fences:
        if fence.lease.is_lost:
            raise LockLost(
                f"the lock {as_text(fence.name)!r} was lost, and nothing is written under it any more"
            )
    content: dict[str, Any] = dict(request.content or {})
    is_alone = "commands" not in content
    commands = _with_existence(content) if is_alone else list(content["commands"])
    guards = [fence.worded() for fence in fences]
    rest = {"mode": "atomic"} if is_alone else content
    sent = replace(request, target="/v1/transaction", content={**rest, "commands": [*commands, *guards]})

    def parse(response: Response) -> T:
        body = dict(object_of(response))
        results = body.pop("results", None)
        if not isinstance(results, list) or len(results) != len(commands) + len(guards):
            raise RemoteProtocolError("the answer to a transaction has not one result for each command")
        if is_alone:
            existed = len(commands) == 1 or results[0] == 1
            body |= {"result": results[len(commands) - 1], "revision": body.get("index") if existed else 0}
        else:
            body["results"] = results[: len(commands)]
        return method.parse(replace(response, body=json.dumps(body).encode()))

    return Method(sent, parse, method.sink)


def _with_existence(content: Json) -> list[Json]:
    """The commands in place of one. The answer to `del` alone tells by its revision whether there was such a key, which
    in a transaction `exists` has to tell."""
    if content.get("command") != "del":
        return [content]
    return [{"command": "exists", "args": content.get("args")}, content]
