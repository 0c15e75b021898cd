"""A load beside a measurement: clients that write one value after the other, each waiting for its answer."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from raftdb import Client
from raftdb.errors import RaftdbError

KEYS_PER_CLIENT = 1_000
VALUE_BYTES = 100
AFTER_ERROR_S = 0.01
"""Pause of a client that was refused."""


class Write(NamedTuple):
    """One write: when it began and ended, on the monotonic clock, and the code of its error, empty if acknowledged."""

    begin: float
    end: float
    error: str

    @property
    def seconds(self) -> float:
        return self.end - self.begin


class ClosedLoop:
    """The clients, a thread each. `writes` grows while they run."""

    def __init__(self, addresses: Callable[[], Sequence[str]], *, clients: int, seed: int) -> None:
        """`addresses` are those of the nodes of now: a client that has others begins anew."""
        self.writes: list[Write] = []
        self._addresses = addresses
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, seed), name=f"writer-{number}")
            for number in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait until all have ended their last write."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def acknowledged(self) -> list[float]:
        """When writes were acknowledged, ascending."""
        return sorted(write.end for write in tuple(self.writes) if not write.error)

    def _run(self, number: int, seed: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        known = tuple(self._addresses())
        client = Client(known, random=chance)
        try:
            while not self._stop.is_set():
                if known != (now := tuple(self._addresses())):
                    client.close()
                    known, client = now, Client(now, random=chance)
                self._write(client, f"load-{number}-{chance.randrange(KEYS_PER_CLIENT)}", chance)
        finally:
            client.close()

    def _write(self, client: "Client[bytes]", key: str, chance: random.Random) -> None:
        value = chance.randbytes(VALUE_BYTES)
        begin = time.monotonic()
        error = ""
        try:
            client.set(key, value)
        except RaftdbError as failure:
            error = str(getattr(failure, "code", type(failure).__name__))
        # A list takes one element at a time, whichever thread adds it.
        self.writes.append(Write(begin, time.monotonic(), error))
        if error:
            self._stop.wait(AFTER_ERROR_S)


@contextmanager
def closed_loop(addresses: Callable[[], Sequence[str]], *, clients: int, seed: int) -> Iterator[ClosedLoop]:
    """Clients that write inside the `with` block."""
    load = ClosedLoop(addresses, clients=clients, seed=seed)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def errors_in_words(writes: Sequence[Write]) -> str:
    """How many failed, by code: `no_leader 3`; `none`."""
    counts = Counter(write.error for write in writes if write.error)
    return ", ".join(f"{code} {count}" for code, count in sorted(counts.items())) or "none"
