"""What a service counts and checks of its own in a whole state, beside the log: for those who examine a folder.

It reads everything that the service has, however much that is; a node never does so while it serves.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from raftdb.machine.layer import KeyValueView

PAGE_KEYS = 1_000
ODD_MAX = 20
"""Things that are wrong of one service, which are told one by one."""


class Noted(NamedTuple):
    """One thing that was counted, or is not as it should be (`is_wrong`). `advice`: what to do about it, or where to
    look."""

    name: str
    value: int | str
    advice: str | None = None
    is_wrong: bool = False


Inventory: TypeAlias = Callable[[KeyValueView], Iterator[Noted]]
"""What a service has in a state, thing by thing."""


def everything(view: KeyValueView, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys that begin with the byte `prefix`, in order, with their values."""
    first, end = prefix, bytes((prefix[0] + 1,))
    while page := view.scan(first, end, limit=PAGE_KEYS):
        yield from page
        first = page[-1][0] + b"\0"


def shortened(wrong: list[Noted]) -> list[Noted]:
    """The first of many things that are wrong, and how many more there are."""
    if len(wrong) <= ODD_MAX:
        return wrong
    more = wrong[ODD_MAX]._replace(value=f"and {len(wrong) - ODD_MAX} more of these")
    return [*wrong[:ODD_MAX], more]
