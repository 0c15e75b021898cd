"""Locks over HTTP (docs/interface.md, section 3): /v1/locks, and the short form /locks/{name}."""

import os
from typing import Literal

import msgspec
from aiohttp import web

from raftdb.errors import RequestRefused
from raftdb.frontend.http_commands import Commands, mapped, options, seconds, segment
from raftdb.frontend.http_query import integer_of, parameters
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.json_requests import Milliseconds, SequenceNumber, SessionPart
from raftdb.frontend.json_values import Base64Bytes, bytes_of, decode_body
from raftdb.limits import LOCK_TTL_MS_DEFAULT, SCAN_LIMIT_MAX
from raftdb.machine.locks.holding import UnlockOwned
from raftdb.machine.reply import shown_key
from raftdb.route import Permission, Route

OWNER_RANDOM_BYTES = 8
"""Of an owner that the short form draws: nobody else has it."""


class LockBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/locks/{name}."""

    mode: Literal["exclusive", "shared"] = "exclusive"
    limit: int | None = None
    ttl_ms: int = LOCK_TTL_MS_DEFAULT
    wait_ms: Milliseconds = 0
    owner: str | Base64Bytes | None = None
    session: SessionPart | None = None


class RenewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/locks/{name}."""

    token: SequenceNumber
    ttl_ms: int | None = None


class ShortLockBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /locks/{name}. `timeout` is the wait in milliseconds."""

    lock_type: Literal["exclusive", "shared"] = "exclusive"
    timeout: Milliseconds = 0
    owner: str | Base64Bytes | None = None


_lock_decoder = msgspec.json.Decoder(LockBody)
_renew_decoder = msgspec.json.Decoder(RenewBody)
_short_decoder = msgspec.json.Decoder(ShortLockBody)


class LocksApi:
    """The handlers about locks."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table with these routes."""
        return {
            "/v1/locks": {"GET": Route(self.locks, Permission.READ)},
            "/v1/locks/{name}": {
                "GET": Route(self.info, Permission.READ),
                "POST": Route(self.take, Permission.WRITE),
                "PUT": Route(self.renew, Permission.WRITE),
                "DELETE": Route(self.release, Permission.WRITE),
            },
            "/locks/{name}": {
                "POST": Route(self.take_shortly, Permission.WRITE),
                "DELETE": Route(self.release, Permission.WRITE),
            },
        }

    async def take(self, request: web.BaseRequest) -> Reply:
        """POST /v1/locks/{name}: take a lock, or wait for it."""
        body = decode_body(
            _lock_decoder, await self._commands.read(request), example='{"mode": "exclusive", "owner": "ana"}'
        )
        owner = None if body.owner is None else bytes_of(body.owner)
        mode = [b"SHARED"] if body.mode == "shared" else []
        if body.limit is not None:
            mode = [*mode, b"LIMIT", b"%d" % body.limit]
        return await self._take(request, mode, body.ttl_ms, owner, body.wait_ms, body.session)

    async def take_shortly(self, request: web.BaseRequest) -> Reply:
        """POST /locks/{name}: the same with a lease of 30 s, for an owner that is drawn if none is named."""
        body = decode_body(
            _short_decoder,
            await self._commands.read(request),
            example='{"lock_type": "exclusive", "timeout": 0}',
        )
        owner = os.urandom(OWNER_RANDOM_BYTES).hex().encode() if body.owner is None else bytes_of(body.owner)
        mode = [b"SHARED"] if body.lock_type == "shared" else []
        return await self._take(request, mode, LOCK_TTL_MS_DEFAULT, owner, body.timeout, None)

    async def _take(
        self,
        request: web.BaseRequest,
        mode: list[bytes],
        ttl_ms: int,
        owner: bytes | None,
        wait_ms: int,
        session: SessionPart | None,
    ) -> Reply:
        words = [segment(request, "name"), *mode, *options({b"TTL": seconds(ttl_ms), b"OWNER": owner})]
        answer = await self._commands.run(request, "lock", words, session=session, wait_ms=wait_ms)
        fields: dict[str, object] = {"acquired": False, "token": None}
        if isinstance(answer.value, list):
            token, held_mode, ends_ms = answer.value
            fields = {"acquired": True, "token": token, "mode": held_mode, "expires_at": ends_ms}
        if owner is not None:
            fields["owner"] = owner
        return await self._reply(fields, answer.index, answer.term)

    async def renew(self, request: web.BaseRequest) -> Reply:
        """PUT /v1/locks/{name}: hold a lock longer."""
        body = decode_body(_renew_decoder, await self._commands.read(request), example='{"token": 65536}')
        ttl = None if body.ttl_ms is None else seconds(body.ttl_ms)
        words = [segment(request, "name"), b"%d" % body.token, *options({b"TTL": ttl})]
        answer = await self._commands.run(request, "renew", words)
        return await self._reply({"renewed": answer.value == 1}, answer.index, answer.term)

    async def release(self, request: web.BaseRequest) -> Reply:
        """DELETE /v1/locks/{name}?token= or ?owner=: give a lock back; by its owner, its place in the line, too."""
        given = parameters(request, ("token", "owner"))
        name = segment(request, "name")
        if len(given) != 1:
            raise RequestRefused("bad_request", "say one of token and owner")
        if "token" in given:
            answer = await self._commands.run(request, "unlock", [name, given["token"]])
        else:
            command = UnlockOwned(name, given["owner"])
            answer = await self._commands.execute(request, "unlock", command)
        return await self._reply({"released": answer.value in (1, True)}, answer.index, answer.term)

    async def info(self, request: web.BaseRequest) -> Reply:
        """GET /v1/locks/{name}: who holds it, and who waits."""
        name = segment(request, "name")
        answer = await self._commands.run(request, "lockinfo", [name])
        if answer.value is None:
            raise RequestRefused("not_found", f"nobody holds the lock {shown_key(name)}, or waits for it")
        found = mapped(answer.value)
        holders = ("owner", "mode", "token", "since", "left_ms")
        fields = {
            **found,
            "name": name,
            "holders": _named(found.get("holders"), holders),
            "line": _named(found.get("line"), ("owner", "mode", "since")),
        }
        return await self._reply(fields, answer.index, answer.term)

    async def locks(self, request: web.BaseRequest) -> Reply:
        """GET /v1/locks[?prefix=&after=&limit=]: a page of the locks that are held."""
        given = parameters(request, ("prefix", "after", "limit"))
        words = [given.get("prefix", b""), given.get("after", b"")]
        if "limit" in given:
            words.append(b"%d" % integer_of("limit", given["limit"], maximum=SCAN_LIMIT_MAX))
        answer = await self._commands.run(request, "locks", words)
        fields: dict[str, object] = {"locks": _named(answer.value, ("name", "mode", "held", "waiting"))}
        return await self._reply(fields, answer.index, answer.term)

    async def _reply(self, fields: dict[str, object], index: int, term: int) -> Reply:
        return Reply(
            await self._commands.encode({**fields, "index": index, "term": term}, list(fields.values()))
        )


def _named(rows: object, names: tuple[str, ...]) -> list[dict[str, object]]:
    """Rows whose columns have these names."""
    return [dict(zip(names, row, strict=True)) for row in rows] if isinstance(rows, list) else []
