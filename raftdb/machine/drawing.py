"""Drawing a key at random. The caller draws the random bytes, and they are a part of the query.

The keys form a tree whose branches are their bytes. From the root on, each random byte chooses one of the branches,
until one key is left. Every key may be drawn; a key that shares its beginning with few others is drawn more often.
"""

from dataclasses import dataclass
from typing import cast

from raftdb.machine.keyspace import HEADER_BYTES
from raftdb.machine.layer import KeyValueView
from raftdb.machine.reply import Page, Result
from raftdb.machine.scanning import ReadPage, behind, read_page
from raftdb.machine.service import Query, Service
from raftdb.machine.values import load_head, values_prefix

LOOKS_MAX = 2_000
"""Branches that are looked at for one draw, some 10 ms of the slowest; then it is the first key of the branch that was
reached."""


@dataclass(frozen=True, slots=True)
class DrawKey(Query):
    """Read any one key: each byte of `lots` chooses a branch."""

    lots: bytes


def draw_key(view: KeyValueView, query: DrawKey) -> Result:
    """Answer a key, None if there is none. In the place of one whose time is up stands the next one that is there."""
    drawn = _drawn(view, query.lots)
    if drawn is None or load_head(view, drawn) is not None:
        return Result(drawn, None)
    for after in (drawn, b""):
        page = cast(Page, read_page(view, ReadPage(b"", after, 1, with_values=False)).value)
        if page.records:
            return Result(page.records[0].key, None)
    return Result(None, None)


def _drawn(view: KeyValueView, lots: bytes) -> bytes | None:
    branch = front = values_prefix(view)
    looks = 0
    for lot in lots:
        branches = _branches(view, branch)
        looks += len(branches)
        if not branches:
            return None
        branch, is_key = branches[lot % len(branches)]
        if is_key:
            return branch[len(front) :]
        if looks > LOOKS_MAX:
            break
    return view.scan(branch, behind(branch), limit=1, length=HEADER_BYTES)[0][0][len(front) :]


def _branches(view: KeyValueView, branch: bytes) -> list[tuple[bytes, bool]]:
    """The branches of one: each with whether it is a key, and no branch."""
    end = behind(branch)
    pairs = view.scan(branch, end, limit=2, length=HEADER_BYTES)
    if len(pairs) < 2:
        return [(key, True) for key, _ in pairs]
    found: list[tuple[bytes, bool]] = []
    while pairs:
        key = pairs[0][0]
        if key == branch:
            found.append((key, True))
            first = key + b"\0"
        else:
            found.append((key[: len(branch) + 1], False))
            first = behind(found[-1][0])
        pairs = view.scan(first, end, limit=1, length=HEADER_BYTES) if first < end else []
    return found


DRAWING = Service(heading="keys", queries={DrawKey: draw_key})
