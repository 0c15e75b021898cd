"""Names to addresses by a deadline.

The system's resolver takes as long as it likes (half a minute, with a name server that is silent) and cannot be
interrupted. So it is asked on a thread of its own, which whoever waits may leave behind. Threads that ask for the same
name are one, and few are allowed to be left behind at a time.

Considered and rejected: the thread pool of the event loop, for `asyncio.run` does not end before all of its threads
have; and remembering addresses, which would be a second opinion on how long a name may be believed.
"""

import os
import socket
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, TypeAlias

from raftdb.client.http1 import NotSent

RESOLUTIONS_MAX = 32
"""How many names are asked for at a time in a process. More are refused: their resolver does not answer."""
TARGETS_MAX = 16
"""How many addresses of one name are tried."""

Target: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]
"""An address family and what `connect` takes."""

_under_way: dict[tuple[int, str, int], "Resolution"] = {}
"""By process: a child has none of its parent's threads. Each step on it is a single one, so it needs no lock, which a
fork might leave locked for good."""


class Resolution:
    """A name that is being asked for."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._outcome: list[Target] | OSError | None = None
        self._done = Event()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_done(self) -> bool:
        """True once `targets` answers."""
        return self._done.is_set()

    def start(self) -> None:
        """Ask, on a thread. Raises `NotSent` if there can be no more threads."""
        try:
            Thread(target=self._ask, name=f"resolving {self._host}", daemon=True).start()
        except RuntimeError as error:
            raise NotSent(f"the name {self._host} cannot be looked up: {error}") from None

    def wait(self, timeout_s: float) -> None:
        """Until it is done, or so long."""
        self._done.wait(timeout_s)

    def on_done(self, callback: Callable[[], None]) -> None:
        """Have `callback` called from some thread when it is done; perhaps twice."""
        self._callbacks.append(callback)
        if self.is_done:
            callback()

    def targets(self) -> list[Target]:
        """The addresses. Raises `NotSent` if there are none, or none were found yet."""
        if self._outcome is None:
            raise NotSent(f"the name {self._host} was not resolved in time")
        if isinstance(self._outcome, OSError):
            raise NotSent("the host name cannot be resolved") from self._outcome
        return self._outcome

    def _ask(self) -> None:
        try:
            self._outcome = _look_up(self._host, self._port, numeric=False)
        except (OSError, UnicodeError) as error:
            self._outcome = error if isinstance(error, OSError) else OSError(str(error))
        key = (os.getpid(), self._host, self._port)
        if _under_way.get(key) is self:
            _under_way.pop(key, None)
        self._done.set()
        for callback in self._callbacks:
            callback()


def targets_of(host: str, port: int) -> "list[Target] | Resolution":
    """The address that `host` is; or, if it is a name, what finds it out. Raises `NotSent`."""
    try:
        return _look_up(host, port, numeric=True)
    except OSError:
        pass  # it is a name
    key = (os.getpid(), host, port)
    resolution = _under_way.get(key)
    if resolution is None or resolution.is_done:
        if len(_under_way) >= RESOLUTIONS_MAX:
            raise NotSent(f"the name {host} was not looked up: the resolver does not answer")
        resolution = Resolution(host, port)
        try:
            _under_way[key] = resolution
            resolution.start()
        except BaseException:  # Ctrl-C as well: others would wait for what nobody asks for
            _under_way.pop(key, None)
            raise
    return resolution


def _look_up(host: str, port: int, *, numeric: bool) -> list[Target]:
    flags = socket.AI_NUMERICHOST if numeric else 0
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    targets: dict[Target, None] = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return list(targets)[:TARGETS_MAX]
