"""Checking that transactions on lists are serializable: that some serial order explains their reads (Adya, 1999; Elle,
2020).

Transactions append unique elements to lists under keys, and read whole lists. A list shows the order in which its
appends took effect, and a read shows which of them were before it. Edges between transactions follow from that, which
say which one is before which in any serial order.

* *ww*: the element of the one is right before that of the other.
* *wr*: the read of the other ends with the element of the one.
* *rw*: the read of the one ends before the element of the other.
* *time*: the one ended before the other began. With these edges *strict* serializability is checked.

A cycle has no serial order. Some faults show within one list, without a cycle: a read that is not a prefix of the
longest one, an element that is there twice, one that no transaction appended, one of a transaction that surely was not
executed (G1a), a read between two appends of one transaction (G1b), a read that misses earlier appends of its own
transaction.

A transaction of unknown outcome may have been executed or not; it was, if any read saw an element of it. It has no end
in time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from raftdb.errors import LocalProtocolError

ELEMENTS_SHOWN_MAX = 8
"""Most elements of a list in the text of a problem."""
CYCLE_SHOWN_MAX = 12
"""Most transactions of a cycle in the text of a problem."""


class Appended(NamedTuple):
    """The transaction appended `element` to the list under `key`."""

    key: bytes
    element: bytes


class Seen(NamedTuple):
    """The transaction read the list under `key`, with its elements in order."""

    key: bytes
    elements: tuple[bytes, ...]


class Outcome(StrEnum):
    """The outcome of a transaction for its client."""

    OK = "ok"
    NOT_EXECUTED = "not executed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Observed:
    """One transaction as its client saw it. Times are numbers of any unit; `returned` counts only for `Outcome.OK`.

    The reads of a transaction of unknown outcome are not known: its steps are its appends alone.
    """

    name: str
    invoked: int
    returned: int
    outcome: Outcome
    steps: tuple[Appended | Seen, ...]

    @property
    def appends(self) -> Iterator[Appended]:
        """Its appends, in order."""
        return (step for step in self.steps if isinstance(step, Appended))


class _Place(NamedTuple):
    """The transaction that appended an element, and whether it was its last one to that key."""

    transaction: int
    is_last: bool


@dataclass(slots=True)
class _List:
    """The list of one key: the longest one that was read, and all reads of it."""

    order: tuple[bytes, ...] = ()
    reads: list[tuple[int, tuple[bytes, ...]]] = field(default_factory=list)


def check_serializable(history: Sequence[Observed]) -> list[str]:
    """The problems that no serial order explains, in words; none if there is a serial order."""
    places = _places(history)
    lists, problems = _lists(history)
    for key in sorted(lists):
        problems += _check_list(key, lists[key], history, places)
    if problems:
        return problems  # edges between wrong lists would mean nothing
    happened = _happened(history, lists, places)
    edges = _Edges(len(history))
    for key in sorted(lists):
        _add_edges_of_list(edges, key, lists[key], history, places, happened)
    _add_edges_of_time(edges, history, happened)
    return [_describe_cycle(cycle, edges, history) for cycle in edges.cycles(len(history))]


def _places(history: Sequence[Observed]) -> dict[tuple[bytes, bytes], _Place]:
    """The transaction of each append."""
    places: dict[tuple[bytes, bytes], _Place] = {}
    for number, transaction in enumerate(history):
        last = {append.key: append.element for append in transaction.appends}
        for append in transaction.appends:
            if append in places:
                raise LocalProtocolError(f"{append} was appended twice by its clients: nothing can be said")
            places[append] = _Place(number, last[append.key] == append.element)
    return places


def _lists(history: Sequence[Observed]) -> tuple[dict[bytes, _List], list[str]]:
    """The reads of each key. A transaction's own appends are checked here, and left out of its reads."""
    lists: dict[bytes, _List] = {}
    problems = []
    for number, transaction in enumerate(history):
        own: dict[bytes, tuple[bytes, ...]] = {}
        for step in transaction.steps:
            mine = own.get(step.key, ())
            if isinstance(step, Appended):
                own[step.key] = (*mine, step.element)
                continue
            if transaction.outcome is not Outcome.OK:
                continue
            if mine and step.elements[-len(mine) :] != mine:
                problems.append(f"{transaction.name} does not see its own appends to {step.key!r}")
                continue
            outside = step.elements[: len(step.elements) - len(mine)]
            seen = lists.setdefault(step.key, _List())
            seen.reads.append((number, outside))
            # The list has been this long, with the transaction's own appends, because the transaction was executed.
            if len(step.elements) > len(seen.order):
                seen.order = step.elements
    return lists, problems


def _check_list(
    key: bytes, seen: _List, history: Sequence[Observed], places: dict[tuple[bytes, bytes], _Place]
) -> list[str]:
    """The problems of one list that do not depend on the order of transactions."""
    problems = []
    order, name = seen.order, key.decode("utf-8", "backslashreplace")
    if len(set(order)) != len(order):
        problems.append(f"{name}: an element stands there twice: {_some(order)}")
    for element in order:
        place = places.get((key, element))
        if place is None:
            problems.append(f"{name}: nobody appended {element!r}")
        elif history[place.transaction].outcome is Outcome.NOT_EXECUTED:
            problems.append(
                f"{name}: {element!r} is of {history[place.transaction].name}, which did not happen"
            )
    for number, elements in seen.reads:
        if elements != order[: len(elements)]:
            problems.append(
                f"{name}: {history[number].name} saw {_some(elements)}, no beginning of {_some(order)}"
            )
        elif elements:
            place = places.get((key, elements[-1]))
            if place is not None and not place.is_last and place.transaction != number:
                writer = history[place.transaction].name
                problems.append(f"{name}: {history[number].name} saw a part of what {writer} appended")
    return problems


def _some(elements: Sequence[bytes]) -> str:
    shown = b" ".join(elements[-ELEMENTS_SHOWN_MAX:]).decode("utf-8", "backslashreplace")
    return f"[{'... ' if len(elements) > ELEMENTS_SHOWN_MAX else ''}{shown}]"


def _happened(
    history: Sequence[Observed], lists: dict[bytes, _List], places: dict[tuple[bytes, bytes], _Place]
) -> list[bool]:
    """For each transaction, whether it surely took effect: it was acknowledged, or some read saw an element of it."""
    happened = [transaction.outcome is Outcome.OK for transaction in history]
    for key, seen in lists.items():
        for element in seen.order:
            happened[places[key, element].transaction] = True
    return happened


class _Edges:
    """A directed graph over numbered nodes, whose edges have labels."""

    def __init__(self, nodes: int) -> None:
        self.out: list[dict[int, str]] = [{} for _ in range(nodes)]

    def node(self) -> int:
        """Add a node; returns its number."""
        self.out.append({})
        return len(self.out) - 1

    def add(self, before: int, after: int, why: str) -> None:
        """Add an edge from `before` to `after`, with the label `why`."""
        if before != after:
            self.out[before].setdefault(after, why)

    def cycles(self, first: int) -> list[list[int]]:
        """A shortest cycle in each strongly connected component that has a node below `first`."""
        return [self._shortest_cycle(knot) for knot in self._knots() if min(knot) < first]

    def _knots(self) -> Iterator[set[int]]:
        """The strongly connected components of more than one node (Tarjan, without recursion)."""
        index: dict[int, int] = {}
        low: dict[int, int] = {}
        stack: list[int] = []
        on_stack: set[int] = set()
        for root in range(len(self.out)):
            if root in index:
                continue
            work = [(root, iter(self.out[root]))]
            index[root] = low[root] = len(index)
            stack.append(root)
            on_stack.add(root)
            while work:
                node, successors = work[-1]
                following = next(successors, None)
                if following is None:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == index[node]:
                        knot = set()
                        while node not in knot:
                            member = stack.pop()
                            on_stack.discard(member)
                            knot.add(member)
                        if len(knot) > 1:
                            yield knot
                elif following not in index:
                    index[following] = low[following] = len(index)
                    stack.append(following)
                    on_stack.add(following)
                    work.append((following, iter(self.out[following])))
                elif following in on_stack:
                    low[node] = min(low[node], index[following])

    def _shortest_cycle(self, knot: set[int]) -> list[int]:
        """A shortest path from the first node of the component back to it."""
        start = min(knot)
        came_from = {start: start}
        frontier = [start]
        while True:
            following_frontier = []
            for node in frontier:
                for following in self.out[node]:
                    if following == start:
                        return self._way(came_from, start, node)
                    if following in knot and following not in came_from:
                        came_from[following] = node
                        following_frontier.append(following)
            frontier = following_frontier

    @staticmethod
    def _way(came_from: dict[int, int], start: int, end: int) -> list[int]:
        way = [end]
        while way[-1] != start:
            way.append(came_from[way[-1]])
        return way[::-1]


def _add_edges_of_list(
    edges: _Edges,
    key: bytes,
    seen: _List,
    history: Sequence[Observed],
    places: dict[tuple[bytes, bytes], _Place],
    happened: Sequence[bool],
) -> None:
    """Add the edges ww, wr and rw of one key."""
    writers = [places[key, element].transaction for element in seen.order]
    name = key.decode("utf-8", "backslashreplace")
    for before, after in pairwise(writers):
        edges.add(before, after, f"ww {name}")
    unseen = sorted(
        {
            place.transaction
            for (other, element), place in places.items()
            if other == key and element not in set(seen.order) and happened[place.transaction]
        }
    )
    for reader, elements in seen.reads:
        if elements:
            edges.add(writers[len(elements) - 1], reader, f"wr {name}")
        if len(elements) < len(writers):
            edges.add(reader, writers[len(elements)], f"rw {name}")
        for writer in unseen:
            edges.add(reader, writer, f"rw {name}")
    if writers:
        for writer in unseen:
            edges.add(writers[-1], writer, f"ww {name}")


def _add_edges_of_time(edges: _Edges, history: Sequence[Observed], happened: Sequence[bool]) -> None:
    """Add the edges of time, through a chain of one node for each end, because an edge for every pair would be too
    many."""
    ended: list[tuple[int, int, int]] = []
    for number, transaction in enumerate(history):
        if not happened[number]:
            continue
        ended.append((transaction.invoked, 0, number))
        if transaction.outcome is Outcome.OK:
            ended.append((transaction.returned, 1, number))
    latest: int | None = None
    for _, is_end, number in sorted(ended):
        if is_end:
            milestone = edges.node()
            edges.add(number, milestone, "time")
            if latest is not None:
                edges.add(latest, milestone, "time")
            latest = milestone
        elif latest is not None:
            edges.add(latest, number, "time")


def _describe_cycle(cycle: Iterable[int], edges: _Edges, history: Sequence[Observed]) -> str:
    """The cycle in words, with its labels and without the nodes of time."""
    way = list(cycle)
    words = []
    for node, following in zip(way, [*way[1:], way[0]], strict=True):
        why = edges.out[node][following]
        if node < len(history):
            words.append(f"{history[node].name} -({why})->")
    return f"no serial order: {' '.join(words[:CYCLE_SHOWN_MAX])}{' ...' if len(words) > CYCLE_SHOWN_MAX else ''}"
