"""Refusing growing writes before the disk or the map is full, and accepting them again once there is space (hazard
B84).

A full disk stops a node: a commit that fails may not be tried again. So growth is refused while there is still room for
the writes that must go on: checkpoints, trims, deletes, terms and votes. A database file never shrinks, so deletes do
not give the disk its space back; they leave pages to write again, which count as free for the store that has them.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from storage.contract import Usage
from storage.errors import OutOfSpace

RESERVE_FRACTION = 0.05
RESERVE_BYTES_MIN = 16 << 20
RESERVE_BYTES_MAX = 1 << 30
"""Space kept free for the writes that must go on: a share of the disk between these bounds."""
MAP_RESERVE_FRACTION = 0.1
"""Share of a map kept free: large values need neighbouring pages, so the last of it cannot all be used."""
LAST_BYTES = 8 << 20
"""Space that is kept for a node's own terms, votes and checkpoints, whatever others ask of it; half of the reserve if
that is less."""
FULL_BYTES = 1 << 20
"""With less free on the disk, any write may be the one that ends the node, so no write is made that can be left
undone."""
RECOVERY_FACTOR = 1.25
"""Free space beyond the reserve at which refusing ends: more than where it begins, so that it does not flap."""
DISK = "disk"


class Measured(Protocol):
    """A store that knows what it occupies; both LMDB stores do."""

    def usage(self) -> Usage:
        """See `Usage`."""
        ...


class SpaceGuard:
    """Whether growing writes may go on. Any thread may `refresh`, one at a time; reading `reason` costs nothing."""

    def __init__(
        self,
        folder: Path,
        stores: Mapping[str, Measured],
        *,
        reserve_bytes: int | None = None,
        map_reserve_fraction: float = MAP_RESERVE_FRACTION,
    ) -> None:
        """Watch the disk of `folder` and the `stores` on it, by the name that a reason gives them.

        `reserve_bytes` None keeps `RESERVE_FRACTION` of the disk, within its bounds.
        """
        self._folder = folder
        self._stores = dict(sorted(stores.items()))
        self._reserve_bytes = reserve_bytes
        self._map_reserve_fraction = map_reserve_fraction
        self._reason: str | None = None
        self._headroom_bytes = 0
        self._last_headroom_bytes = 0
        self._exhausted = False
        self._room_bytes: int | None = None
        self.usages: dict[str, Usage] = {}
        """What each store occupied at the last `refresh`."""

    @property
    def room_bytes(self) -> int | None:
        """The space that the last `refresh` found for the store that has least; None before the first one."""
        return self._room_bytes

    @property
    def headroom_bytes(self) -> int:
        """The bytes that can be written from the last `refresh` on until growth must be refused; 0 while it is
        refused."""
        return self._headroom_bytes

    @property
    def last_headroom_bytes(self) -> int:
        """The bytes that can be written from the last `refresh` on until only the `LAST_BYTES` are left."""
        return self._last_headroom_bytes

    @property
    def reason(self) -> str | None:
        """Why growing writes are refused as of the last `refresh`, for people; None if they are not."""
        return self._reason

    def refresh(self, *, pending_bytes: int = 0, spent: bool = False) -> str | None:
        """Measure again; returns the new `reason`. Tens of microseconds, unless the file system hangs.

        `pending_bytes`: the bytes in memory that must still find room, on top of the reserve. `spent`: the headroom was
        used up since, so growth goes on only with as much space as ends refusing. Raises `OSError`.
        """
        factor = RECOVERY_FACTOR if self._reason is not None or spent else 1.0
        last_factor = RECOVERY_FACTOR if self._exhausted else 1.0
        reason = None
        headroom_bytes, last_headroom_bytes, disk_room_bytes = [], [], []
        for room_bytes, reserve_bytes, what in self._measure():
            if what.startswith(DISK):
                disk_room_bytes.append(room_bytes)
            needed_bytes = int(reserve_bytes * factor) + pending_bytes
            if room_bytes < needed_bytes:
                reason = f"the {what}: {room_bytes} bytes are left, {needed_bytes} are kept"
            headroom_bytes.append(room_bytes - needed_bytes)
            last_bytes = min(LAST_BYTES, reserve_bytes // 2)
            last_headroom_bytes.append(room_bytes - int(last_bytes * last_factor) - pending_bytes)
        self._reason = reason
        self._room_bytes = min(disk_room_bytes, default=None)
        self._headroom_bytes = max(0, min(headroom_bytes, default=0))
        self._last_headroom_bytes = max(0, min(last_headroom_bytes, default=0))
        self._exhausted = not self._last_headroom_bytes
        return reason

    def _measure(self) -> Iterator[tuple[int, int, str]]:
        """(bytes that are left, bytes to keep of them, words for what is short if they are too few) for each limit."""
        free_bytes, reserve_bytes = self._measure_disk()
        for name, store in self._stores.items():
            usage = self.usages[name] = store.usage()
            yield free_bytes + usage.reusable_bytes, reserve_bytes, f"{DISK} is nearly full for the {name}"
            map_reserve_bytes = int(usage.map_bytes * self._map_reserve_fraction)
            yield usage.map_bytes - usage.used_bytes, map_reserve_bytes, f"map of the {name} is nearly full"

    def require_room(self, file_bytes: int) -> None:
        """Raise `OutOfSpace` if a new file of that size would leave less than the reserve. Raises `OSError`."""
        free_bytes, reserve_bytes = self._measure_disk()
        if free_bytes < file_bytes + reserve_bytes:
            raise OutOfSpace(
                f"a file of {file_bytes} bytes does not fit: {free_bytes} are free, {reserve_bytes} are kept",
                hint="give the disk more space",
            )

    def _measure_disk(self) -> tuple[int, int]:
        """Bytes that are free on the disk, and bytes to keep free."""
        space = os.statvfs(self._folder)
        reserve_bytes = self._reserve_bytes
        if reserve_bytes is None:
            share = int(space.f_blocks * space.f_frsize * RESERVE_FRACTION)
            reserve_bytes = min(RESERVE_BYTES_MAX, max(RESERVE_BYTES_MIN, share))
        return space.f_bavail * space.f_frsize, reserve_bytes
