"""Resolving host names by a deadline.

The system's resolver may take half a minute, if a name server is silent, and cannot be interrupted. So it is called on
a thread of its own, and a caller whose deadline passes no longer waits for that thread. One thread serves all callers
that ask for the same name, and the number of threads is limited.

Considered and rejected: the thread pool of the event loop, because `asyncio.run` does not end before all of its threads
have; and a cache of addresses, because the resolver's own already decides how long an address is valid.
"""

import os
import socket
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, TypeAlias

from raftdb.client.http1 import NotSent

RESOLUTIONS_MAX = 32
"""The most names that a process resolves at a time. More are refused, because the resolver does not answer."""
TARGETS_MAX = 16
"""The most addresses of one name that are tried."""

Target: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]
"""An address family and an address as `connect` takes it."""

_under_way: dict[tuple[int, str, int], "Resolution"] = {}
"""The resolutions by process id, host and port: a child process has none of its parent's threads. Each operation on
this dictionary is atomic, so it needs no lock, which a fork could leave locked for good."""


class Resolution:
    """A host name that is being resolved."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._outcome: list[Target] | OSError | None = None
        self._done = Event()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_done(self) -> bool:
        """True once the resolver has answered or failed."""
        return self._done.is_set()

    def start(self) -> None:
        """Begin on a thread. Raises `NotSent` if no thread can be started."""
        try:
            Thread(target=self._ask, name=f"resolving {self._host}", daemon=True).start()
        except RuntimeError as error:
            raise NotSent(f"the name {self._host} cannot be looked up: {error}") from None

    def wait(self, timeout_s: float) -> None:
        """Wait until it is done, or for `timeout_s`."""
        self._done.wait(timeout_s)

    def on_done(self, callback: Callable[[], None]) -> None:
        """Have `callback` called on some thread when it is done, perhaps twice."""
        self._callbacks.append(callback)
        if self.is_done:
            callback()

    def targets(self) -> list[Target]:
        """The addresses of the name. Raises `NotSent` if it has none, or the resolver has not answered yet."""
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
    """The target of an IP address; or, for a name, the resolution that is under way. Raises `NotSent`."""
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
        except BaseException:  # Ctrl-C as well, or others would wait for a resolution that has no thread
            _under_way.pop(key, None)
            raise
    return resolution


def _look_up(host: str, port: int, *, numeric: bool) -> list[Target]:
    flags = socket.AI_NUMERICHOST if numeric else 0
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    targets: dict[Target, None] = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return list(targets)[:TARGETS_MAX]
