"""The table of Redis commands, and what clients are told of it."""

import re
from pathlib import Path
from typing import Any

import hiredis
import pytest

from raftdb.frontend.redis.cursors import Cursors
from raftdb.frontend.redis.errors import CommandRefused
from raftdb.frontend.redis.globs import literal_prefix, matcher
from raftdb.frontend.redis.rows import Row
from raftdb.frontend.redis.table import BY_NAME, COMMANDS, find
from raftdb.machine.slots import slot_of
from raftdb.machine.strings import Condition, FencedSet
from tests.frontend.redis_support import Client, serve

OPTIONS = {"ex", "px", "exat", "pxat", "keepttl", "nx", "xx", "gt", "lt", "match"}
OPTIONS |= {"delay", "group", "priority", "dedup", "unique", "visibility", "worker", "error", "free", "dead"}
OPTIONS |= {"state", "after", "to", "shared", "limit", "owner"}
OPTIONS |= {"len", "idx", "minmatchlen", "withmatchlen"}
"""Options that the documentation names, and that no command is called."""


def read(data: bytes) -> Any:
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(data)
    return reader.gets()


@pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: str(row.name))
def test_every_row_is_complete(row: Row) -> None:
    assert row.name == row.name.lower()
    assert row.summary
    assert row.since.count(".") == 2
    assert (row.build is None) != (row.run is None)
    assert not (row.keys[0] and row.keys[2] < 1)
    assert ("write" in row.flags) + ("readonly" in row.flags) <= 1
    assert all(subcommand.name.startswith(f"{row.name}|") for subcommand in row.subcommands)


@pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: str(row.name))
def test_arity_is_checked_for_every_command(row: Row) -> None:
    for count in range(1, abs(row.arity) + 3):
        arguments = [row.name.encode(), *(b"1",) * (count - 1)]
        if row.subcommands and count > 1:
            continue
        if row.accepts(count):
            assert find(arguments) is row
        else:
            with pytest.raises(CommandRefused, match="wrong number of arguments"):
                find(arguments)


def test_the_documentation_names_exactly_these_commands() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "interface.md").read_text()
    table = text[
        text.index("| group | commands |") : text.index("- Every write is durable on a majority before")
    ]
    named = {word.lower() for word in re.findall(r"`([A-Z-]+)`", table)}
    subcommands = {each.name.partition("|")[2] for row in COMMANDS.values() for each in row.subcommands}
    assert named - OPTIONS == set(COMMANDS) | subcommands
    differences = text[text.index("| command | difference |") : text.index("Absent are lists, sets")]
    rows = [line.split("|")[1] for line in differences.splitlines()[2:] if line.startswith("|")]
    assert {word.lower() for row in rows for word in re.findall(r"`([A-Z]+)`", row)} <= set(COMMANDS)


@pytest.mark.parametrize("spelling", [b"get", b"GET", b"gEt"])
def test_names_are_known_in_any_case(spelling: bytes) -> None:
    assert find([spelling, b"k"]) is COMMANDS["get"]


async def test_clients_learn_of_all_commands() -> None:
    client = Client(serve()[1])
    infos = read(await client.ask("COMMAND"))
    assert [info[0] for info in infos] == list(COMMANDS)
    assert read(await client.ask("COMMAND", "COUNT")) == len(COMMANDS)
    assert read(await client.ask("COMMAND", "LIST")) == list(COMMANDS)
    mset, nothing = read(await client.ask("COMMAND", "INFO", "mset", "nothing"))
    assert mset[:8] == ["mset", -3, ["write", "denyoom"], 1, -1, 2, ["@write", "@string", "@slow"], []]
    assert mset == infos[list(COMMANDS).index("mset")]
    assert nothing is None
    await client.ask("HELLO", "3")
    documentation = read(await client.ask("COMMAND", "DOCS"))
    assert set(documentation) == set(COMMANDS)
    assert documentation["get"] == {"summary": "The value of a key", "since": "1.0.0", "group": "string"}
    assert "client|id" in documentation["client"]["subcommands"]


async def test_a_node_tells_of_itself() -> None:
    client = Client(serve()[1])
    info = read(await client.ask("INFO"))
    assert "redis_version:7." in info
    assert "# Replication\r\nrole:master\r\n" in info
    assert read(await client.ask("INFO", "clients")).startswith("# Clients\r\nconnected_clients:1\r\n")
    assert read(await client.ask("INFO", "nothing")) == ""
    settings = read(await client.ask("CONFIG", "GET", "*"))
    assert settings[settings.index("appendfsync") + 1] == "always"
    assert await client.ask("CONFIG", "SET", "save", "", "APPENDFSYNC", "always") == b"+OK\r\n"
    for words in (("save", "1"), ("save", "", "appendonly", "no"), ("none", "1"), ("save", "", "port")):
        assert (await client.ask("CONFIG", "SET", *words)).startswith(b"-ERR ")
    assert await client.ask("CONFIG", "RESETSTAT") == b"+OK\r\n"
    assert (await client.ask("DEBUG", "SLEEP", "60")).startswith(b"-ERR DEBUG SLEEP is refused")
    assert len(read(await client.ask("TIME"))) == 2
    assert read(await client.ask("ROLE")) == ["master", 0, []]


async def test_connections_are_listed() -> None:
    _, server = serve()
    first, second = Client(server), Client(server)
    await second.ask("CLIENT", "SETNAME", "me")
    await second.ask("CLIENT", "SETINFO", "LIB-NAME", "mine")
    await second.ask("CLIENT", "SETINFO", "lib-ver", "1.2")
    assert read(await first.ask("CLIENT", "ID")) == 1
    lines = read(await first.ask("CLIENT", "LIST")).splitlines()
    assert [line.split()[0] for line in lines] == ["id=1", "id=2"]
    assert "addr=192.0.2.1:4711 laddr=192.0.2.2:6379 name=me" in lines[1]
    assert lines[1].endswith("lib-name=mine lib-ver=1.2")
    assert read(await first.ask("CLIENT", "LIST", "ID", "2")).splitlines() == [lines[1]]
    assert read(await second.ask("CLIENT", "INFO")).startswith("id=2 ")
    assert (await first.ask("CLIENT", "TRACKING", "ON")).startswith(b"-ERR client-side caching")
    assert await first.ask("CLIENT", "TRACKING", "OFF") == b"+OK\r\n"
    assert read(await first.ask("CLIENT", "HELP"))[0].startswith("CLIENT <subcommand>")


async def test_every_key_may_be_drawn() -> None:
    client = Client(serve()[1])
    assert await client.ask("RANDOMKEY") == b"$-1\r\n"
    keys = ["", *(f"k{number}" for number in range(5)), "other", "k"][1:]
    await client.ask("MSET", *(text for key in keys for text in (key, "")))
    drawn = {read(await client.ask("RANDOMKEY")) for _ in range(400)}
    assert drawn == set(keys)


async def test_a_scan_sees_every_key_once() -> None:
    client = Client(serve()[1])
    await client.ask("MSET", *(text for number in range(25) for text in (f"k{number:02}", "")))
    cursor, found = "0", []
    while True:
        cursor, keys = read(await client.ask("SCAN", cursor, "MATCH", "k*[02468]", "COUNT", "10"))
        found += keys
        if cursor == "0":
            break
    assert found == [f"k{number:02}" for number in range(0, 25, 2)]
    unknown = await client.ask("SCAN", "4711")
    assert unknown == b"-ERR unknown cursor: it is another node's, or too old; begin again with 0\r\n"
    await client.ask("MULTI")
    await client.ask("SCAN", "0")
    assert await client.ask("EXEC") == b"*1\r\n-ERR this command cannot be part of a transaction\r\n"


def test_cursors_are_forgotten_when_there_are_too_many() -> None:
    cursors = Cursors(2)
    first, second = cursors.number_of(b"a"), cursors.number_of(b"b")
    assert cursors.key_of(first) == b"a"
    third = cursors.number_of(b"c")
    assert [cursors.key_of(each) for each in (first, second, third)] == [b"a", None, b"c"]


async def test_clients_of_clusters_find_the_leader() -> None:
    node, server = serve()
    _, port = await server.start("127.0.0.1", 0)
    members = [
        {"id": "n1", "redis": None, "redis_cluster": None, "alive": True},
        {"id": "n2", "redis": "[::1]:6381", "redis_cluster": "[::1]:6382", "alive": True},
        {"id": "n3", "redis": "c:6383", "redis_cluster": None, "alive": False},
        {"id": "n4", "redis": None, "redis_cluster": None, "alive": True},
    ]
    node.more_status = {"members": members, "leader": {"id": "n2"}, "term": 7}
    client = Client(server)
    n1 = read(await client.ask("CLUSTER", "MYID"))
    ((first, last, leader, replica),) = read(await client.ask("CLUSTER", "SLOTS"))
    n2 = leader[2]
    assert (first, last) == (0, 16383)
    assert leader == ["::1", 6382, n2, []]
    assert replica == ["127.0.0.1", port, n1, []]
    lines = read(await client.ask("CLUSTER", "NODES")).splitlines()
    n3 = lines[2].split()[0]
    assert lines == [
        f"{n2} [::1]:6382@0 master - 0 0 7 connected 0-16383",
        f"{n1} 127.0.0.1:{port}@0 myself,slave {n2} 0 0 7 connected",
        f"{n3} c:6383@0 slave,fail {n2} 0 0 7 disconnected",
    ]
    assert {len(name) for name in (n1, n2, n3)} == {40}
    (shard,) = read(await client.ask("CLUSTER", "SHARDS"))
    assert shard[:2] == ["slots", [0, 16383]]
    assert [node[node.index("role") + 1] for node in shard[3]] == ["master", "replica", "replica"]
    assert "cluster_state:ok" in read(await client.ask("CLUSTER", "INFO"))
    assert read(await client.ask("CLUSTER", "KEYSLOT", "foo")) == 12182
    node.more_status = {"members": members, "leader": {"id": "n3"}}
    ((_, _, stand_in, _),) = read(await client.ask("CLUSTER", "SLOTS"))
    assert stand_in == ["127.0.0.1", port, n1, []], "a leader that does not answer is not named"
    node.more_status = {"leader": None}
    ((_, _, stand_in),) = read(await client.ask("CLUSTER", "SLOTS"))
    assert stand_in == ["127.0.0.1", port, n1, []]
    assert "cluster_state:fail" in read(await client.ask("CLUSTER", "INFO"))
    await server.close(grace_s=0.0)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (b"*", [b"", b"a", b"\n"], []),
        (b"a?c", [b"abc", b"a\nc"], [b"ac", b"abbc"]),
        (b"a*c*e", [b"ace", b"abcde", b"acece"], [b"aced", b"ae"]),
        (b"*ab", [b"ab", b"aab", b"abab"], [b"aba"]),
        (b"[a-c]x", [b"ax", b"cx"], [b"dx"]),
        (b"[^a-c]x", [b"dx"], [b"ax", b"x"]),
        (b"[c-a]", [b"b"], [b"d"]),
        (b"[]", [], [b"", b"]"]),
        (b"[a", [b"a"], [b"["]),
        (b"\\*", [b"*"], [b"a"]),
        (b"[\\]]", [b"]"], [b"\\"]),
        (b"a.c", [b"a.c"], [b"abc"]),
        (b"a\\", [b"a\\"], [b"a"]),
    ],
)
def test_patterns_are_those_of_redis(pattern: bytes, matching: list[bytes], others: list[bytes]) -> None:
    matches = matcher(pattern)
    assert all(map(matches, matching))
    assert not any(map(matches, others))


def test_no_pattern_takes_for_ever() -> None:
    assert not matcher(b"*a" * 200 + b"b")(b"a" * 480)


def test_what_a_pattern_begins_with() -> None:
    assert [literal_prefix(text) for text in (b"user:*", b"*", b"a[b]", b"a\\*", b"abc")] == [
        b"user:",
        b"",
        b"a",
        b"a",
        b"abc",
    ]


@pytest.mark.parametrize(
    ("key", "slot"),
    [(b"foo", 12182), (b"123456789", 12739), (b"x{foo}bar", 12182), (b"", 0)],
)
def test_slots_are_those_of_redis_clusters(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_empty_braces_and_a_single_one_are_part_of_the_key() -> None:
    assert len({slot_of(key) for key in (b"", b"{}", b"{", b"foo", b"{foo", b"{}foo")}) == 6


def test_a_set_may_name_a_fence_which_redis_does_not_know() -> None:
    build = BY_NAME[b"set"].build
    assert build is not None
    words = [b"SET", b"k", b"v", b"PX", b"5", b"NX", b"fence", b"report", b"65536"]
    assert build(words)[0] == FencedSet(b"k", b"v", b"report", 65536, 5, Condition.IF_MISSING)
    for wrong in (
        [b"FENCE"],
        [b"FENCE", b"report"],
        [b"FENCE", b"report", b"x"],
        [b"FENCE", b"report", b"0"],
        [b"FENCE", b"n" * 201, b"7"],
        [b"FENCE", b"report", b"7", b"GET"],
        [b"FENCE", b"report", b"7", b"FENCE", b"report", b"7"],
    ):
        with pytest.raises(CommandRefused):
            build([*words[:3], *wrong])


async def test_keys_that_begin_alike_can_be_deleted_together() -> None:
    client = Client(serve()[1])
    await client.ask("MSET", "user:1", "a", "user:2", "b", "other", "c")
    assert read(await client.ask("DELPREFIX", "user:")) == 2
    assert read(await client.ask("KEYS", "*")) == ["other"]
    assert read(await client.ask("COMMAND", "INFO", "delprefix"))[0][:2] == ["delprefix", 2]
    (name, documentation) = read(await client.ask("COMMAND", "DOCS", "delprefix"))
    assert name == "delprefix"
    assert documentation[documentation.index("group") + 1] == "generic"
