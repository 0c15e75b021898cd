"""Many clients that wait for one lock, which is handed on from each to the next: the part of `services.py` for that."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import uvloop

from benchmarks import lock_load
from benchmarks.load import Tally
from benchmarks.peer_systems import System, to_base64
from benchmarks.running import post
from benchmarks.service_load import PING, Client, connect, lock_steps, until

NAME = b"everybody"
WAIT_S = 50
"""The longest that raftdb lets anybody wait at once."""
POLL_S = 0.005
OneClient = TypeVar("OneClient", Client, lock_load.Client)
LINE_POLL_S = 0.1


class HandedOn(NamedTuple):
    """The time from when the first holder gives the lock back until the last client has given it back."""

    seconds: float
    cpu_seconds: float
    """Processor time of all clients together."""
    entries: float | None
    """Entries of the log for each time the lock was given back."""


def hand_on_all(
    system: System, count: int, mark: Callable[[], None], committed: Callable[[], int | None]
) -> HandedOn:
    """Let `count` clients wait for a lock that somebody holds, and then hand it on to all of them.

    `mark` is called before they are connected, when they are, when all wait, and when all have had the lock.
    """
    return uvloop.run(_hand_on_all(system, count, mark, committed))


async def _hand_on_all(
    system: System, count: int, mark: Callable[[], None], committed: Callable[[], int | None]
) -> HandedOn:
    crowd: _OfRaftdb | _OfEtcd = (
        _OfRaftdb(system, count) if system.name == "raftdb" else _OfEtcd(system, count)
    )
    try:
        mark()
        await crowd.connect()
        mark()
        await crowd.hold()
        crowd.ask()
        await until(lambda: crowd.in_line() == count, "clients in the line", LINE_POLL_S)
        mark()
        entries, began, cpu_s = committed(), time.perf_counter(), time.process_time()
        crowd.release()
        await crowd.all_idle()
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
        last_entries = committed()
        mark()
    finally:
        crowd.close()
    each = None if entries is None or last_entries is None else (last_entries - entries) / (count + 1)
    return HandedOn(seconds, cpu_s, each)


class _Crowd(Generic[OneClient]):
    """A client that holds the lock first, and those that wait for it."""

    def __init__(self, address: str, count: int) -> None:
        self.address = address
        self.tally = Tally()
        self.tally.open = True
        self.holder: OneClient = self.new_client()
        self.waiters: list[OneClient] = [self.new_client() for _ in range(count)]
        self._transports: list[asyncio.Transport] = []

    def new_client(self) -> OneClient:
        """A client that does nothing so far."""
        raise NotImplementedError

    async def connect(self) -> None:
        """Connect all, until the server knows of them."""
        self._transports = await connect(self.address, [self.holder, *self.waiters])
        await self.all_idle()

    async def hold(self) -> None:
        """Let the holder take the lock."""
        raise NotImplementedError

    def ask(self) -> None:
        """Let all others wait for it, and give it back once they have it."""
        raise NotImplementedError

    def in_line(self) -> int:
        """How many wait."""
        raise NotImplementedError

    def release(self) -> None:
        """Let the holder give it back."""
        raise NotImplementedError

    async def all_idle(self) -> None:
        """Wait until all are answered. Raises RuntimeError if one is refused."""
        await until(
            lambda: (
                (self.holder.is_idle and all(waiter.is_idle for waiter in self.waiters))
                or bool(self.tally.errors)
            ),
            "answers",
            POLL_S,
        )
        self.check()

    def check(self) -> None:
        """Raise RuntimeError if somebody was refused."""
        if self.tally.errors:
            raise RuntimeError(f"not all were served: {dict(self.tally.errors)}")

    def close(self) -> None:
        """End all connections."""
        for transport in self._transports:
            transport.abort()


class _OfRaftdb(_Crowd[Client]):
    """Clients of raftdb, over its Redis port."""

    def __init__(self, system: System, count: int) -> None:
        ports = system.ports()
        super().__init__(ports["redis"], count)
        self._http = ports["http"]

    def new_client(self) -> Client:
        return Client((), self.tally)

    async def connect(self) -> None:
        await super().connect()
        for waiter in self.waiters:
            waiter.go((PING,), ways=1)
        await self.all_idle()

    async def hold(self) -> None:
        self.holder.go(lock_steps(NAME, b"holder", 0)[:1], ways=1)
        await self.all_idle()

    def ask(self) -> None:
        for number, waiter in enumerate(self.waiters):
            waiter.go(lock_steps(NAME, b"waiter-%d" % number, WAIT_S), ways=1)

    def in_line(self) -> int:
        self.check()
        answer = post(self._http, "/v1/execute", {"command": "lockinfo", "args": [NAME.decode()]})
        info = answer["result"]
        return int(info["waiting"] if isinstance(info, dict) else info[info.index("waiting") + 1])

    def release(self) -> None:
        self.holder.go(lock_steps(NAME, b"holder", 0)[1:], ways=1)


class _OfEtcd(_Crowd[lock_load.Client]):
    """Clients of etcd's lock service, each with a lease."""

    def __init__(self, system: System, count: int) -> None:
        super().__init__(system.ports()["grpc"], count)

    def new_client(self) -> lock_load.Client:
        return lock_load.Client(self.address, NAME, self.tally, ways=0)

    async def hold(self) -> None:
        self.holder.take()
        await until(lambda: self.holder.holds, "the lock", POLL_S)

    def ask(self) -> None:
        for waiter in self.waiters:
            waiter.go(ways=1)

    def in_line(self) -> int:
        self.check()
        begin, end = to_base64(f"{NAME.decode()}/"), to_base64(f"{NAME.decode()}0")
        asked = {"key": begin, "range_end": end, "count_only": True}
        return int(post(self.address, "/v3/kv/range", asked).get("count", 0)) - 1

    def release(self) -> None:
        self.holder.give_back()
