# Made from async_services.py by .ci/unasync.py: what is to be changed is changed there.
"""What a client offers beside its calls: locks, queues, elections and schedules."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from raftdb.client.given import Lifetime, Text, V, whole
from raftdb.client.leases import LOCK_TTL_S, LockLost
from raftdb.errors import RequestRefused

if TYPE_CHECKING:
    from raftdb.client.sync_client import Client
    from raftdb.client.sync_elections import Election
    from raftdb.client.sync_holding import Holding
    from raftdb.client.sync_locks import Held, Lock, ReadWriteLock
    from raftdb.client.sync_queues import Queue
    from raftdb.client.sync_schedules import Every
    from raftdb.client.sync_watching import Watch

T = TypeVar("T")
P = ParamSpec("P")

logger = logging.getLogger("raftdb.client")


class ClientServices(ABC, Generic[V]):
    """Locks, queues, elections and schedules of a client. What they need is loaded when it is first asked for."""

    @abstractmethod
    def _own_holding(self) -> "Holding":
        """What this client holds in this process."""

    @property
    def _client(self) -> "Client[V]":
        return cast("Client[V]", self)

    def lock(
        self, name: Text, *, wait: Lifetime | None = None, ttl: Lifetime = LOCK_TTL_S, reentrant: bool = False
    ) -> "Lock[V]":
        """A lock, for `with`, which has what is held: `with client.lock("name") as held: ...`.

        It is waited for without end, or for `wait` seconds; 0 tries once. Then `LockTimeout` is raised. It is renewed
        each third of `ttl`, by a thread of its own, and outlives this process by `ttl` at most. `held.token` is its
        fencing number, `held.db` this client with all writes fenced, and `held.lost` an event. Leaving a lock that was
        lost raises `LockLost`; the tasks of an event loop are cancelled when that happens.

        The owner is this thread or task. If it takes the lock again, `Deadlock` is raised, or, with `reentrant`, it is
        given back when the outermost block is left. Two owners that would wait for each other: the second gets
        `Deadlock`, at once.
        """
        from raftdb.client.service_methods import Mode
        from raftdb.client.sync_locks import Lock

        return Lock(self._client, name, Mode(), wait=wait, ttl=ttl, reentrant=reentrant)

    def rwlock(self, name: Text) -> "ReadWriteLock[V]":
        """A lock that many share or one has alone: `shared()` and `exclusive()`, each as `lock`."""
        from raftdb.client.sync_locks import ReadWriteLock

        return ReadWriteLock(self._client, name)

    def semaphore(
        self,
        name: Text,
        limit: int,
        *,
        wait: Lifetime | None = None,
        ttl: Lifetime = LOCK_TTL_S,
        reentrant: bool = False,
    ) -> "Lock[V]":
        """A lock that up to `limit` owners hold at a time; all have to name the same limit. For the rest see `lock`."""
        from raftdb.client.service_methods import Mode
        from raftdb.client.sync_locks import Lock

        if whole(limit, "the limit") < 1:
            raise RequestRefused("bad_request", f"the limit of a semaphore is at least 1, not {limit}")
        return Lock(self._client, name, Mode(limit=limit), wait=wait, ttl=ttl, reentrant=reentrant)

    def watch(
        self, prefix: Text = "", *, after: int | None = None, previous: bool = False, snapshot: bool = False
    ) -> "Watch[V]":
        """The changes of all keys that begin with `prefix`, each once and in order, to be iterated over: those after
        the entry at index `after`, or, without it, what comes from the first look on. With `previous` they have the
        values before. With `snapshot` the present keys come first, and again if the cluster no longer has what comes
        next; see `Change`. Without, that raises `Compacted`.

        It goes on at another node if one dies or is silent for 25 s. The iteration ends by `close`, by leaving its
        block (`with`), or by an interrupt. Before a node was reached it raises `Unavailable` once the timeout of the
        client is over; later it waits for as long as it takes.
        """
        from raftdb.client.sync_watching import Watch

        return Watch(self._client, prefix, after=after, previous=previous, snapshot=snapshot)

    def queue(self, name: Text) -> "Queue[V]":
        """A queue, which comes into being with its first message."""
        from raftdb.client.sync_queues import Queue

        return Queue(self._client, name)

    def election(self, name: Text, *, ttl: Lifetime = LOCK_TTL_S) -> "Election[V]":
        """An election: one of those that campaign under a name leads, until it resigns or dies. `ttl` as in `lock`."""
        from raftdb.client.sync_elections import Election

        return Election(self._client, name, ttl=ttl)

    def leader_only(
        self, name: Text, *, value: Text = b"", ttl: Lifetime = LOCK_TTL_S
    ) -> Callable[[Callable[Concatenate["Held[V]", P], T]], Callable[P, T]]:
        """Decorate a function whose first argument is the lock of the leader, so that it runs in one process at a time.

        A call campaigns in the election `name`, runs the function as its leader, and resigns. If leadership is lost
        meanwhile, it campaigns again and runs the function anew.
        """

        def decorate(function: Callable[Concatenate["Held[V]", P], T]) -> Callable[P, T]:
            @wraps(function)
            def run(*args: P.args, **kwargs: P.kwargs) -> T:
                while True:
                    held = self.election(name, ttl=ttl).campaign(value)
                    try:
                        with held:
                            return function(held, *args, **kwargs)
                    except LockLost:
                        if held.is_held or not held.lost.is_set():
                            raise
                        logger.warning("%r leads no longer, and campaigns again", name)

            return run

        return decorate

    def every(
        self, schedule: str, *, tz: str = "UTC", name: str | None = None, max_run: Lifetime = 3_600.0
    ) -> "Callable[[Callable[[], Any]], Every]":
        """Decorate a function without arguments, so that its `run` runs it at its times, on one machine of all that do.

        `schedule`: an interval, such as `"10m"`, which counts from the epoch, or a time of day, such as `"02:00"`, in
        the zone `tz`. `name`: the same on all machines; by default that of the function and its module. Each time is
        run at least once, and again if it fails; of times that were missed the latest, once; what overlaps is skipped.
        """
        from raftdb.client.schedules import schedule_of

        times = schedule_of(schedule, tz)

        def decorate(function: "Callable[[], Any]") -> "Every":
            from raftdb.client.sync_schedules import Every

            known = name or f"{function.__module__}.{getattr(function, '__qualname__', 'function')}"
            declared = Every(self._client, function, times, known, max_run)
            self._own_holding().schedules.append(declared)
            return declared

        return decorate

    def run_schedules(self) -> None:
        """Run everything that was declared by `every` at its times, side by side, until SIGTERM."""
        from raftdb.client.stopping import Stop
        from raftdb.client.sync_tasks import run_all

        declared = list(self._own_holding().schedules)

        def stop_all() -> None:
            for one in declared:
                one.stop()

        stop = Stop()
        with stop.heeding_sigterm(), stop.calling(stop_all):
            run_all([one.run for one in declared], stop.set)
