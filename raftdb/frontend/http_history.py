"""Looking back over HTTP: `GET /v1/history` (docs/interface.md, section 3)."""

import asyncio
from typing import cast

from aiohttp import web

from raftdb.errors import RequestRefused
from raftdb.frontend.http_login import USER
from raftdb.frontend.http_memory import hold_answer
from raftdb.frontend.http_query import integer_of, key_of_query, parameters, revision_of
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.json_values import encode_json, record_fields
from raftdb.frontend.node_api import Node
from raftdb.limits import PAGE_BYTES_MAX, SCAN_LIMIT_DEFAULT, SCAN_LIMIT_MAX
from raftdb.machine.reply import KeyRecord, Page
from raftdb.machine.scanning import ReadStored
from raftdb.machine.users.rights import Domain, Need
from raftdb.node.aside import Aside
from raftdb.node.past import Difference, Past
from raftdb.route import Permission, Route

ENTRIES_TOGETHER = 1_000
"""Entries of the history that are looked at in one turn of the loop: half a millisecond."""


class HistoryApi:
    """The handler of questions about the past. Long answers are encoded on the thread of `aside`."""

    def __init__(self, node: Node, aside: Aside) -> None:
        self._node = node
        self._aside = aside

    def routes(self) -> dict[str, dict[str, Route]]:
        """The one path."""
        return {"/v1/history": {"GET": Route(self.history, Permission.READ)}}

    async def history(self, request: web.BaseRequest) -> Reply:
        """GET /v1/history?revision=&until=&prefix=&after=&limit=: the keys as they were at a revision, or how they
        differ from a later one."""
        given = parameters(request, ("revision", "until", "prefix", "after", "limit"))
        if "revision" not in given:
            raise RequestRefused(
                "bad_request", "a revision is missing", hint="/v1/status says how far back: history"
            )
        revision = self._applied("revision", given["revision"])
        prefix, after = key_of_query(given, "prefix"), key_of_query(given, "after")
        limit = SCAN_LIMIT_DEFAULT
        if "limit" in given:
            limit = integer_of("limit", given["limit"], maximum=SCAN_LIMIT_MAX)
        self._node.check(request.get(USER), Need(Domain.KEYS, prefix, changes=False, is_prefix=True))
        self._node.history.after(revision, limit=1)
        if "until" in given:
            until = self._applied("until", given["until"])
            if until < revision:
                raise RequestRefused("bad_request", "until is below revision", hint="exchange them")
            return await self._differences(
                request, Past(prefix, after, position=revision, until=until), limit
            )
        return await self._keys(request, revision, ReadStored(prefix, after, limit))

    async def _keys(self, request: web.BaseRequest, revision: int, query: ReadStored) -> Reply:
        answer = await self._node.execute(query, consistency="stale", user=request.get(USER))
        page = cast(Page, answer.value)
        past = Past(query.prefix, query.after, position=revision, until=answer.index)
        await self._look(past)
        records = past.undone(page.records, page.next_after)
        shown = records[: _fitting([_record_bytes(record) for record in records], query.limit)]
        next_after = shown[-1].key if len(shown) < len(records) else page.next_after
        fields: dict[str, object] = {"keys": [_fields(record) for record in shown]}
        if next_after is not None:
            fields["next"] = next_after
        fields |= {"revision": revision, "index": answer.index}
        return await self._encoded(request, fields, sum(map(_record_bytes, shown)))

    async def _differences(self, request: web.BaseRequest, past: Past, limit: int) -> Reply:
        await self._look(past)
        found = past.differences()
        shown = found[: _fitting([_difference_bytes(one) for one in found], limit)]
        fields: dict[str, object] = {
            "differences": [
                {"key": one.key, "before": _value_fields(one.before), "after": _value_fields(one.after)}
                for one in shown
            ]
        }
        if len(shown) < len(found):
            fields["next"] = shown[-1].key
        return await self._encoded(request, fields, sum(map(_difference_bytes, shown)))

    async def _look(self, past: Past) -> None:
        """Look through the history, a part in each turn of the loop."""
        is_all = False
        while not is_all:
            is_all = past.look(self._node.history, limit=ENTRIES_TOGETHER)
            await asyncio.sleep(0)

    def _applied(self, name: str, text: bytes) -> int:
        revision, applied = revision_of(name, text), self._node.history.applied
        if revision > applied:
            raise RequestRefused("bad_request", f"{name} is above what this node has applied, {applied}")
        return revision

    async def _encoded(self, request: web.BaseRequest, fields: dict[str, object], value_bytes: int) -> Reply:
        hold_answer(request, value_bytes, was_written=False)
        return Reply(await self._aside.run(encode_json, fields))


def _fields(record: KeyRecord) -> dict[str, object]:
    """The fields of a key of the past: how long it had to live is not known."""
    return {name: value for name, value in record_fields(record).items() if name != "ttl_ms"}


def _value_fields(record: KeyRecord | None) -> dict[str, object] | None:
    return (
        None if record is None else {name: value for name, value in _fields(record).items() if name != "key"}
    )


def _record_bytes(record: KeyRecord | None) -> int:
    return 0 if record is None else len(record.key) + len(record.value or b"")


def _difference_bytes(one: Difference) -> int:
    return _record_bytes(one.before) + _record_bytes(one.after)


def _fitting(sizes: list[int], limit: int) -> int:
    """How many of things with these sizes fit into a page, at least one."""
    count = total = 0
    while count < min(len(sizes), limit) and (not count or total < PAGE_BYTES_MAX):
        total += sizes[count]
        count += 1
    return count
