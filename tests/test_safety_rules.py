"""Rules of the product's source that keep it safe, read from its syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE_SIDE = ("core", "machine", "wire", "node", "transport", "frontend", "server")
STARTERS = ("create_task", "ensure_future", "call_later", "call_at")
ELSEWHERE = {
    # The pings of a link, awaited in the same function; and the patience with a peer that takes nothing.
    "raftdb/transport/link.py": 2,
    # The end of a stream whose peer does not close it.
    "raftdb/transport/stream.py": 2,
    # What fault injection sends late, and the end of such a stream: sending raises nothing.
    "raftdb/transport/impaired.py": 3,
    # What fault injection lets arrive late from a client; both are over with the connection.
    "raftdb/frontend/impaired_clients.py": 2,
    # A download and its next piece, awaited in the same functions.
    "raftdb/server/incoming.py": 2,
    # The silence of one link, which also ends when the peer dials anew.
    "raftdb/transport/peer_server.py": 1,
    # The opening of one connection, whose errors are logged; and the next attempt to accept some.
    "raftdb/frontend/accepting.py": 2,
    # The end of one connection, which nobody waits for.
    "raftdb/frontend/http_connection.py": 1,
    # A long reply and a slow reader, each kept by the connection, and answered or logged whatever happens; and the end
    # of an idle connection, as aiohttp has it.
    "raftdb/frontend/http_lean.py": 3,
    # What is written to one stream of events, awaited in the same function; an error is logged.
    "raftdb/frontend/http_stream.py": 1,
    # The next look for those who watch the node; an error is logged, and there are no watchers without it.
    "raftdb/frontend/http_events.py": 1,
    # A password of a Redis client, whose reply comes whatever happens.
    "raftdb/frontend/redis/logging_in.py": 1,
    # The next look at Redis clients that have not logged in; it does not depend on how this one ends.
    "raftdb/frontend/redis/strangers.py": 1,
    # The patience with a Redis client that does not read its replies; it is over with the connection.
    "raftdb/frontend/redis/unread.py": 1,
}
"""How many are started in other files, and why nothing is lost if one ends in silence."""


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Name and tree of every module below these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def test_a_node_starts_tasks_and_timers_in_one_place_where_they_are_watched() -> None:
    """A task that nobody awaits ends in silence."""
    found: dict[str, int] = {}
    for name, tree in sources(*(f"raftdb/{package}" for package in NODE_SIDE)):
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr in STARTERS:
                found[name] = found.get(name, 0) + 1
    assert found == ELSEWHERE


def test_nothing_rests_on_an_assert() -> None:
    """An interpreter that optimises leaves them out (`python -O`, PYTHONOPTIMIZE)."""
    found = [
        f"{name}:{node.lineno}"
        for name, tree in sources("raftdb", "storage", "cli")
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        or (isinstance(node, ast.Name) and node.id in ("AssertionError", "__debug__"))
    ]
    assert found == []
