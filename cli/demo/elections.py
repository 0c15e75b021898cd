"""What the nodes of a demonstration tell of elections (`GET /v1/events`), in the order in which it happened.

A node that is dead or paused tells nothing; what it had told before it died and nobody had asked for is lost.
"""

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from raftdb.endpoint import parse_endpoint

PATH = "/v1/events?topics=raft"
ANSWER_TIMEOUT_S = 3.0
LINE_BYTES_MAX = 4 << 20
SENTENCES = {
    "became candidate": "asks for votes in term {term}",
    "vote granted": "votes for {to} in term {term}",
    "vote refused": "does not vote for {to}: {why}",
    "became leader": "leads term {term}",
    "lost contact with a majority, steps down": "hears no majority, and leads no more",
    "is removed, steps down": "is removed, and leads no more",
    "hands the leadership over": "hands the leadership over to {to}",
    "fetching a snapshot": "fetches a snapshot",
    "snapshot received": "has received the snapshot",
}
"""What is told, and how it is said of the node that tells it."""
LEADS = "became leader"


class Told(NamedTuple):
    """One line of the time line: when, by the node's clock, at which node, what, and a sentence about the node."""

    time_ms: int
    node: str
    what: str
    sentence: str


class Elections:
    """Asks nodes for what has happened, and tells each event once."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}
        """The last number by node and life of its process."""

    def take(self, nodes: Mapping[str, str]) -> list[Told]:
        """What has happened at these nodes, HTTP addresses by id, since the last call."""
        told = [each for node, address in sorted(nodes.items()) for each in self._of(node, address)]
        return sorted(told, key=lambda each: (each.time_ms, each.node))

    def _of(self, node: str, address: str) -> Iterable[Told]:
        life, events = _first_block(address)
        seen = self._seen.get((node, life), 0)
        for event in events:
            if event["number"] <= seen:
                continue
            seen = event["number"]
            sentence = SENTENCES.get(event["what"])
            if sentence is not None:
                said = sentence.format_map(_Details(event.get("details") or {}))
                yield Told(event["time_ms"], node, event["what"], said)
        self._seen[node, life] = seen


class _Details(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"


def _first_block(address: str) -> tuple[str, list[dict[str, Any]]]:
    """The life of the process, and its newest events; none if it does not answer."""
    try:
        for life, block in blocks(address):
            return life, block.get("snapshot", {}).get("events", [])
    except (OSError, http.client.HTTPException, ValueError):
        pass
    return "", []


def blocks(address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The blocks about Raft that a node tells, one after the other, each with the life of its process.

    Raises `OSError`, HTTPException and `ValueError`.
    """
    endpoint = parse_endpoint(address)
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=ANSWER_TIMEOUT_S)
    life = ""
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        while line := response.readline(LINE_BYTES_MAX):
            field, _, value = line.decode().partition(": ")
            if field == "id":
                life = value.partition("-")[0]
            elif field == "data":
                yield life, json.loads(value)
    finally:
        connection.close()
