"""A range of the state in order, through the changes in memory that lie over it.

Each layer is read a page at a time, and the pages are put together as far as all of them reach. So a scan costs time
for what it returns, and about a microsecond for each change or hidden value that it steps over. It steps over them only
once, because it notes a gap (`storage.gaps`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.codec import unseal, unseal_head
from storage.contract import KEY_BYTES_MAX
from storage.gaps import STEPPED_OVER_MIN, Gaps
from storage.overlay import Overlay

if TYPE_CHECKING:
    import lmdb

PAGE_KEYS_MIN = 16
"""Keys read of each layer at first; twice as many for each further page."""
PAGE_KEYS_MAX = 1024


def scan_layers(
    overlays: Sequence[Overlay],
    cursor: "lmdb.Cursor[memoryview]",
    gaps: Gaps,
    first: bytes,
    end: bytes | None,
    *,
    limit: int,
    length: int | None,
) -> list[tuple[bytes, bytes]]:
    """Up to `limit` pairs as `StateStore.scan` says; `overlays` from the topmost down, `cursor` on the disk.

    `gaps` are those of all layers together.
    """
    found: list[tuple[bytes, bytes]] = []
    unseen_from, unseen = first, 0
    page_keys = min(max(limit, PAGE_KEYS_MIN), PAGE_KEYS_MAX)
    while True:
        first = gaps.after(first)
        disk = _disk_page(cursor, first, end, page_keys)
        pages = [list(disk), *(overlay.keys(first, end, page_keys) for overlay in overlays)]
        # After the last key of a full page its layer may have more.
        horizons = [page[-1] for page in pages if len(page) == page_keys]
        horizon = min(horizons, default=None)
        for key in sorted(set().union(*pages)):
            if horizon is not None and key > horizon:
                break
            value = _value(overlays, disk, key, length)
            if value is None:
                unseen += 1
                continue
            if unseen >= STEPPED_OVER_MIN:
                gaps.note(unseen_from, key)
            unseen_from, unseen = key + b"\0", 0
            found.append((key, value))
            if len(found) == limit:
                return found
        if horizon is None:
            if unseen >= STEPPED_OVER_MIN and end is not None:
                gaps.note(unseen_from, end)
            return found
        first = horizon + b"\0"
        page_keys = min(2 * page_keys, PAGE_KEYS_MAX)


def _value(
    overlays: Sequence[Overlay], disk: dict[bytes, memoryview], key: bytes, length: int | None
) -> bytes | None:
    """The value of `key` in the topmost layer that knows it."""
    for overlay in overlays:
        if key in overlay.changes:
            value = overlay.changes[key]
            return value if value is None or length is None else value[:length]
    if length is None:
        return unseal(key, disk[key], what="value of key")
    return unseal_head(key, disk[key], length, what="value of key")


def _disk_page(
    cursor: "lmdb.Cursor[memoryview]", first: bytes, end: bytes | None, page_keys: int
) -> dict[bytes, memoryview]:
    """Up to `page_keys` sealed values with first <= key < end, in order; they live as long as the transaction."""
    page: dict[bytes, memoryview] = {}
    # LMDB refuses to look for a key longer than any it can hold; its start is the nearest one that it can.
    if not (cursor.set_range(first[:KEY_BYTES_MAX]) if first else cursor.first()):
        return page
    for view, sealed in cursor.iternext():
        key = bytes(view)
        if key < first:
            continue
        if end is not None and key >= end:
            break
        page[key] = sealed
        if len(page) == page_keys:
            break
    return page
