"""Rules of the product's source that keep it safe, read from its syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE_SIDE = ("core", "machine", "wire", "node", "transport", "frontend", "server")
STARTERS = ("create_task", "ensure_future", "call_later", "call_at")
ELSEWHERE = {
    "raftdb/transport/peer_client.py": 2,  # what sends on a link and what watches it: awaited by who starts them
    "raftdb/frontend/http_server.py": 1,  # the end of one connection, which nobody waits for
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
