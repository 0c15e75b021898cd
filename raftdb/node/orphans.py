"""Places in lines of the state that nobody holds a request for: they are given up when that has lasted for a while.

The places of requests that this leader has held are noted when their clients go. A new leader knows of no requests: it
waits as long, and then goes through the lines of the state, a page at a time.
"""

from collections.abc import Collection, Iterator

from raftdb.machine.layer import KeyValueView
from raftdb.machine.service import Command
from raftdb.machine.services import COMMANDS
from raftdb.machine.waiting import PlaceWaiting

HELD_MS = 10_000
"""How long a place is kept without a request."""
PAGE = 64
"""Places looked at, and given up, in one turn."""


class Orphans:
    """The places without requests, as far as this node has led; the numbers of what gives them up are below 0."""

    def __init__(self) -> None:
        self._due: dict[bytes, tuple[float, Command]] = {}
        """When a place is given up, and how; the earliest is first."""
        self._new: dict[bytes, Command] = {}
        """Those that no time was given yet."""
        self._scans: list[PlaceWaiting] = []
        self._scan_at_ms = 0.0
        self._after = b""
        self._last_number = 0

    def begin(self, now_ms: float) -> None:
        """This node has come to lead."""
        kinds = (kind.waiting for kind in COMMANDS.values())
        self._scans = [waiting for waiting in kinds if isinstance(waiting, PlaceWaiting)]
        self._scan_at_ms, self._after = now_ms + HELD_MS, b""

    def has_work(self, now_ms: float) -> bool:
        """Whether something may be due."""
        return bool(self._due or self._new or (self._scans and now_ms >= self._scan_at_ms))

    def clear(self) -> None:
        """This node does not lead any more."""
        self._due.clear()
        self._new.clear()
        self._scans.clear()

    def add(self, name: bytes, give_up: Command) -> None:
        """Nobody holds a request for this place from now on."""
        self._due.pop(name, None)
        self._new[name] = give_up

    def discard(self, name: bytes) -> None:
        """Somebody does again."""
        self._due.pop(name, None)
        self._new.pop(name, None)

    def due(
        self, view: KeyValueView, now_ms: float, held: Collection[bytes], *, limit: int
    ) -> Iterator[tuple[int, bytes, Command]]:
        """The number, name and command of each that is to be proposed in this turn. `held` are the places that requests
        are held for."""
        if self._new:
            self._due.update((name, (now_ms + HELD_MS, command)) for name, command in self._new.items())
            self._new.clear()
        for _ in range(min(limit, PAGE)):
            name, (due_ms, command) = next(iter(self._due.items()), (b"", (now_ms + 1, None)))
            if due_ms > now_ms or command is None:
                break
            del self._due[name]
            yield self._number(), name, command
        if self._scans and now_ms >= self._scan_at_ms and limit > 0:
            page = self._scans[0].places(view, self._after, PAGE)
            for name, command in page:
                self._after = name
                if name not in held and name not in self._due:
                    yield self._number(), name, command
            if len(page) < PAGE:
                self._after = b""
                del self._scans[0]

    def _number(self) -> int:
        self._last_number -= 1
        return self._last_number
