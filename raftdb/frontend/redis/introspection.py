"""Commands about this node: its status, its settings and its counters."""

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from raftdb import __version__
from raftdb.frontend.redis.arguments import calendar_ms
from raftdb.frontend.redis.client_state import ClientState, mode_of
from raftdb.frontend.redis.errors import CommandRefused, text_of, wrong_arity
from raftdb.frontend.redis.globs import matcher
from raftdb.frontend.redis.rows import LOCAL, Arguments, Row, only_subcommands, run_here
from raftdb.frontend.redis.versions import REDIS_VERSION
from raftdb.wire.resp_replies import Verbatim

Section = Mapping[str, object]


def _server(client: ClientState, status: Mapping[str, Any]) -> Section:
    return {
        "redis_version": REDIS_VERSION,
        "redis_mode": mode_of(client.facts),
        "raftdb_version": __version__,
        "os": sys.platform,
        "arch_bits": 64,
        "process_id": os.getpid(),
        "uptime_in_seconds": int(status["uptime_seconds"]),
        "uptime_in_days": int(status["uptime_seconds"]) // 86_400,
        "tcp_port": client.facts.settings["port"],
    }


def _clients(client: ClientState, status: Mapping[str, Any]) -> Section:
    counts = client.facts.counts()
    return {"connected_clients": counts["connected_clients"], "maxclients": counts["maxclients"]}


def _memory(client: ClientState, status: Mapping[str, Any]) -> Section:
    levels: Mapping[str, int] = status["memory_bytes"]
    return {f"raftdb_{name}_bytes": level for name, level in levels.items()}


def _persistence(client: ClientState, status: Mapping[str, Any]) -> Section:
    return {
        "loading": 0,
        "aof_enabled": 1,
        "aof_last_write_status": "ok",
        "raftdb_checkpoint_index": status["checkpoint_index"],
    }


def _stats(client: ClientState, status: Mapping[str, Any]) -> Section:
    counts = client.facts.counts()
    names = (
        "total_connections_received",
        "total_commands_processed",
        "rejected_connections",
        "evicted_clients",
    )
    return {name: counts[name] for name in names}


def _replication(client: ClientState, status: Mapping[str, Any]) -> Section:
    leader = status["leader"]
    return {
        "role": "master" if status["role"] == "leader" else "slave",
        "connected_slaves": max(0, len(status["members"]) - 1),
        "raftdb_id": status["id"],
        "raftdb_role": status["role"],
        "raftdb_leader": "" if leader is None else leader["id"],
        "raftdb_term": status["term"],
        "raftdb_commit_index": status["commit_index"],
        "raftdb_applied_index": status["applied_index"],
    }


SECTIONS: dict[str, Callable[[ClientState, Mapping[str, Any]], Section]] = {
    "server": _server,
    "clients": _clients,
    "memory": _memory,
    "persistence": _persistence,
    "stats": _stats,
    "replication": _replication,
    "cluster": lambda client, status: {"cluster_enabled": int(mode_of(client.facts) == "cluster")},
}
"""The sections of INFO, in order."""

_ALL_SECTIONS = {"all", "everything", "default"}


def _info(client: ClientState, given: Arguments) -> object:
    wanted = {word.decode(errors="replace").lower() for word in given[1:]}
    if not wanted or wanted & _ALL_SECTIONS:
        wanted = set(SECTIONS)
    status = client.facts.status()
    texts = []
    for name, make in SECTIONS.items():
        if name in wanted:
            lines = [f"{field}:{value}\r\n" for field, value in make(client, status).items()]
            texts.append(f"# {name.capitalize()}\r\n" + "".join(lines))
    return Verbatim("\r\n".join(texts))


def _config_get(client: ClientState, given: Arguments) -> object:
    """`CONFIG GET pattern ...`: each setting once, in the order of names."""
    tests = [matcher(pattern.lower()) for pattern in given[2:]]
    return {
        name.encode(): value.encode()
        for name, value in sorted(client.facts.settings.items())
        if any(matches(name.encode()) for matches in tests)
    }


def _config_set(client: ClientState, given: Arguments) -> object:
    """`CONFIG SET name value ...`: accepts what is so already, as programs set it that want to be sure."""
    if len(given) % 2:
        raise wrong_arity("config|set")
    for name, value in zip(given[2::2], given[3::2], strict=True):
        shown = text_of(name.lower())
        present = client.facts.settings.get(shown)
        if present is None:
            raise CommandRefused(
                f"ERR Unknown option or number of arguments for CONFIG SET - '{text_of(name)}'"
            )
        if present != text_of(value).lower():
            raise CommandRefused(f"ERR CONFIG SET failed - '{shown}' is set when the node starts")
    return "OK"


def _debug_sleep(client: ClientState, given: Arguments) -> object:
    raise CommandRefused("ERR DEBUG SLEEP is refused: a node that sleeps loses the leadership")


def _done(client: ClientState, given: Arguments) -> object:
    return "OK"


def _time(client: ClientState, given: Arguments) -> object:
    seconds, milliseconds = divmod(calendar_ms(), 1000)
    return [b"%d" % seconds, b"%d" % (milliseconds * 1000)]


def _role(client: ClientState, given: Arguments) -> object:
    """The reply of a Redis without replicas, because Redis' replication is not used."""
    return [b"master", client.facts.status()["applied_index"], []]


_row = partial(run_here, "server")
_FLAGS = ("admin", "noscript", "loading", "stale")

CONFIG: tuple[Row, ...] = (
    _row("config|get", -3, _FLAGS, "2.0.0", "The settings that match a pattern", _config_get),
    _row(
        "config|set",
        -4,
        _FLAGS,
        "2.0.0",
        "Accepts what is so already: settings are given at the start",
        _config_set,
    ),
    _row("config|resetstat", 2, _FLAGS, "2.0.0", "Accepted, and changes nothing", _done),
)

DEBUG: tuple[Row, ...] = (
    _row("debug|sleep", 3, _FLAGS, "1.0.0", "Refused, because all clients would wait", _debug_sleep),
)

LATENCY: tuple[Row, ...] = (
    _row("latency|reset", -2, _FLAGS, "2.8.13", "There is nothing to forget", lambda client, given: 0),
    _row("latency|latest", 2, _FLAGS, "2.8.13", "Nothing is measured here", lambda client, given: []),
)

FUNCTION: tuple[Row, ...] = (
    _row("function|flush", -2, ("noscript",), "7.0.0", "There are no functions to forget", _done),
    _row("function|list", -2, ("noscript",), "7.0.0", "There are no functions", lambda client, given: []),
)

INTROSPECTION: tuple[Row, ...] = (
    _row("info", -1, ("loading", "stale"), "1.0.0", "What this node is, and what it does", _info),
    _row("time", 1, LOCAL, "2.6.0", "The time of the calendar by this node's clock", _time),
    _row("role", 1, LOCAL, "2.8.12", "Always a master without replicas", _role),
    _row("config", -2, (), "2.0.0", "About settings", only_subcommands, subcommands=CONFIG),
    _row("debug", -2, (), "1.0.0", "For tests of Redis itself", only_subcommands, subcommands=DEBUG),
    _row("latency", -2, (), "2.8.13", "About slow commands", only_subcommands, subcommands=LATENCY),
    _row("function", -2, (), "7.0.0", "About functions", only_subcommands, subcommands=FUNCTION),
)
"""The rows of the table."""
