# Made from async_holding.py by .ci/unasync.py: what is to be changed is changed there.
"""What a client has for the things that it holds and waits for: their owner, their renewals, and clients for waits.

A call that waits has a client for itself, and with it a connection and a session. In the session of other calls it
would keep their replies from being forgotten, and after some hundred of them they would wait for it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from raftdb.client.leases import Numbers
from raftdb.client.renewing import Renewals, Renewer
from raftdb.client.sync_tasks import current
from raftdb.errors import RaftdbError

if TYPE_CHECKING:
    from raftdb.client.sync_client import Client
    from raftdb.client.sync_locks import Held
    from raftdb.client.sync_schedules import Every

NAME_BYTES = 8
"""An owner is named by so many random bytes, and by a number: it may bear a text of a person beside."""


class Holding:
    """The holdings of one client in one process. `make` makes a client of the same cluster, `renewer` what sends
    renewals."""

    def __init__(self, make: "Callable[[], Client[bytes]]", renewer: Callable[[], Renewer]) -> None:
        self.process_id = os.getpid()
        self.renewals = Renewals(renewer)
        self.held: dict[tuple[int, bytes], Held[Any]] = {}
        """What is held, by the number of its owner and the name of the lock."""
        self.schedules: list[Every] = []
        """What was declared by `every`."""
        self._make = make
        self._name = os.urandom(NAME_BYTES).hex()
        self._numbers = Numbers()
        self._idle: list[Client[bytes]] = []

    @property
    def is_here(self) -> bool:
        """Whether this is the process that holds them. A child process that was forked has copies of what its parent
        holds, and gives none of it back."""
        return self.process_id == os.getpid()

    def number(self) -> int:
        """The number of the owner that asks now."""
        return self._numbers.of(current())

    def owner(self, number: int, text: bytes) -> bytes:
        """The name of an owner in the cluster, with a text for people before it."""
        name = f"{self._name}-{number}".encode()
        return text + b" " + name if text else name

    @contextmanager
    def waiting_client(self) -> "Iterator[Client[bytes]]":
        """A client for calls that wait, which nobody else uses within the block."""
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._make()
        try:
            yield client
        finally:
            if not client._is_interrupted:
                self._idle.append(client)

    def close(self) -> None:
        """Close the clients that nobody uses, and their sessions."""
        with suppress(IndexError):
            while True:
                client = self._idle.pop()
                with suppress(RaftdbError):
                    client.close()
