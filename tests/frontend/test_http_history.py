"""Looking back over HTTP: the keys as they were, and how they differ from a later time."""

from random import Random
from typing import Any

import pytest

from raftdb.frontend import http_history
from raftdb.machine.batches import MultiSet
from raftdb.machine.expiry import ExpireAfter
from raftdb.machine.keys import Clear, Rename
from raftdb.machine.operations import Expire, Operation
from raftdb.machine.strings import Delete, Set
from tests.frontend.support import Harness, get, running
from tests.frontend.watch_support import WatchedNode

KEYS = [b"a", b"ab", b"b", b"ba", b"c", b"d"]


async def pages(http: Harness, what: str, query: str) -> list[dict[str, Any]]:
    """All that is on the pages of an answer."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        answer = await http.request(get(f"/v1/history?{query}{after}"))
        assert answer.status == 200, answer.json
        found += answer.json[what]
        if "next" not in answer.json:
            return found
        after = f"&after={answer.json['next']}"


def operations(random: Random) -> list[Operation]:
    match random.randrange(6):
        case 0:
            return [Delete(random.choice(KEYS))]
        case 1:
            return [MultiSet(tuple((random.choice(KEYS), b"%d" % random.randrange(9)) for _ in range(3)))]
        case 2:
            return [Rename(random.choice(KEYS), random.choice(KEYS))]
        case 3:
            return [ExpireAfter(random.choice(KEYS), 1), Expire()]
        case 4 if random.random() < 0.1:
            return [Clear(), Set(b"b", b"new")]
        case _:
            return [Set(random.choice(KEYS), b"%d" % random.randrange(9))]


@pytest.mark.parametrize("seed", range(4))
async def test_the_keys_are_as_they_were_at_each_revision_and_differ_as_these_do(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_history, "ENTRIES_TOGETHER", 7)
    random, node = Random(seed), WatchedNode()
    states: dict[int, dict[str, tuple[str, int]]] = {0: {}}
    async with running(node=node) as http:

        async def present() -> dict[str, tuple[str, int]]:
            found = await pages(http, "keys", f"revision={node.history.applied}&limit=1000")
            return {record["key"]: (record["value"], record["revision"]) for record in found}

        for _ in range(60):
            for operation in operations(random):
                node.log.time_ms += random.randrange(3)
                node.log.apply(operation)
                states[node.history.applied] = await present()
        for revision in random.sample(sorted(states), 12):
            prefix = random.choice(["", "a", "b"])
            found = await pages(
                http, "keys", f"revision={revision}&prefix={prefix}&limit={random.randrange(1, 4)}"
            )
            expected = {key: value for key, value in states[revision].items() if key.startswith(prefix)}
            assert [(record["key"], (record["value"], record["revision"])) for record in found] == sorted(
                expected.items()
            )
            until = random.choice([other for other in states if other >= revision])
            found = await pages(http, "differences", f"revision={revision}&until={until}&limit=2")

            def side(value: dict[str, Any] | None) -> tuple[str, int] | None:
                return None if value is None else (value["value"], value["revision"])

            before, after = states[revision], states[until]
            assert [(one["key"], side(one["before"]), side(one["after"])) for one in found] == [
                (key, before.get(key), after.get(key))
                for key in sorted({*before, *after})
                if before.get(key) != after.get(key)
            ]


async def test_what_is_not_known_is_refused() -> None:
    node = WatchedNode(bytes_max=2_000)
    node.log.apply(*(Set(b"a", b"%d" % number) for number in range(100)))
    begin = node.history.begin
    async with running(node=node) as http:
        refused = await http.request(get(f"/v1/history?revision={begin - 1}"))
        assert (refused.status, refused.code, refused.json["begin"]) == (410, "compacted", begin)
        (record,) = await pages(http, "keys", f"revision={begin}")
        assert (record["value"], record["revision"]) == (str(begin - 1), begin)
        for query in ("", "?revision=101", "?revision=99&until=101", "?revision=99&until=98", "?revision=x"):
            refused = await http.request(get(f"/v1/history{query}"))
            assert (refused.status, refused.code) == (400, "bad_request"), query


async def test_long_values_make_short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_history, "PAGE_BYTES_MAX", 1_000)
    node = WatchedNode()
    node.log.apply(*(Set(b"k%d" % number, b"x" * 400) for number in range(9)))
    node.log.apply(*(Set(b"k%d" % number, b"y" * 400, 50) for number in range(9)))
    async with running(node=node) as http:
        first = (await http.request(get("/v1/history?revision=9"))).json
        assert [record["value"][0] for record in first["keys"]] == ["x"] * 3
        assert (first["next"], first["revision"], first["index"]) == ("k2", 9, 18)
        assert len(await pages(http, "keys", "revision=9")) == 9
        differences = await pages(http, "differences", "revision=9&until=18")
        assert [one["after"]["expires_at"] for one in differences] == [1_050] * 9
