"""Files that are read again while a node runs: when they change, and on SIGHUP.

A file that cannot be used leaves what was read before in force, with a line in the log: a node that runs does not stop
for a typing error.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from raftdb.errors import Fatal

logger = logging.getLogger("raftdb.server")

LOOK_S = 2.0
"""How often is looked whether a file has changed."""

Signature: TypeAlias = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Something that is read from `paths`. `read` blocks, is called on a thread, and returns what puts into force what
    it has read, which is called on the event loop. `read` raises Fatal."""

    what: str
    paths: Sequence[Path]
    read: Callable[[], Callable[[], None]]


class Reloading:
    """Watches files. `run` is its one task."""

    def __init__(self, parts: Sequence[Reloaded], *, look_s: float = LOOK_S) -> None:
        """To be made before the files are read for the first time. Blocks."""
        self._parts = parts
        self._look_s = look_s
        self._asked = asyncio.Event()
        # What a file was like before it was read: a change in between is seen as one.
        self._seen = {part.what: _signature(part.paths) for part in parts}

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to read again."""
        return bool(self._parts)

    def ask(self) -> None:
        """Read everything again now."""
        self._asked.set()

    async def run(self) -> None:
        """Look, and read what has changed, for ever."""
        while self._parts:
            is_asked = await self._wait()
            for part in self._parts:
                signature = await asyncio.to_thread(_signature, part.paths)
                if is_asked or signature != self._seen[part.what]:
                    self._seen[part.what] = signature
                    await self._read(part)

    async def _wait(self) -> bool:
        """Wait for the next look; True if everything is to be read."""
        try:
            async with asyncio.timeout(self._look_s):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    async def _read(self, part: Reloaded) -> None:
        try:
            use = await asyncio.to_thread(part.read)
        except Fatal as error:
            fields = {"what": part.what, "why": error.message}
            logger.error("not read again, what was there stays in force", extra={"fields": fields})
        else:
            use()
            logger.info("read again", extra={"fields": {"what": part.what}})


def _signature(paths: Sequence[Path]) -> Signature:
    """What changes when a file is written or replaced; None for one that is not there."""
    return tuple(map(_signature_of, paths))


def _signature_of(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode
