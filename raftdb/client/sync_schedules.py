# Made from async_schedules.py by .ci/unasync.py: what is to be changed is changed there.
"""Running a function at its times, on one of several machines.

A slot that is due is put as a message into the queue `every/NAME` by whichever process comes first: the last slot that
was put stands in the key `every/NAME`, and both change in one transaction. One of the processes receives it and runs
the function. If that fails, or its process dies, the message comes back and the function is run again, so each slot is
run at least once.

After a time in which no process was there, the latest slot that was missed is run, once. While a slot waits or is run,
others that come due are skipped. A schedule that is new begins with the slot after.
"""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raftdb.client.given import Lifetime
from raftdb.client.http1 import Interrupted
from raftdb.client.schedules import Schedule
from raftdb.client.stopping import Stop
from raftdb.client.sync_io import sleep
from raftdb.client.sync_jobs import Job
from raftdb.client.sync_queues import AGAIN_MS, VISIBILITY_S, Queue
from raftdb.errors import Conflict, OutcomeUnknown, RaftdbError, SessionExpired, Unavailable
from raftdb.limits import WAIT_MS_MAX

if TYPE_CHECKING:
    from raftdb.client.sync_client import Client

WAITING = ("visible", "delayed", "in_flight")
"""What there may be of a slot that has not been run yet."""

logger = logging.getLogger("raftdb.client")


class Every:
    """A function with a schedule. `run` runs it at its times; to call it runs it now, and has nothing to do with its
    schedule. `name` is the same on all machines."""

    def __init__(
        self,
        db: "Client[Any]",
        function: "Callable[[], Any]",
        schedule: Schedule,
        name: str,
        max_run: Lifetime,
    ) -> None:
        self.name = name
        self.schedule = schedule
        self._db = db
        self._function = function
        self._max_run = max_run
        self._key = f"every/{name}"
        self._queue = Queue(db, self._key)
        self._stops: dict[Stop, None] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {self.schedule}>"

    def __call__(self) -> Any:
        """Run the function now."""
        return self._function()

    def run(self) -> None:
        """Run the function at its times, here or wherever else this is called, until `stop` or SIGTERM."""
        stop = Stop()
        self._stops[stop] = None
        holding = self._db._own_holding()
        try:
            with stop.heeding_sigterm(), holding.waiting_client() as client, stop.calling(client._interrupt):
                while not stop.is_set:
                    try:
                        self._turn(client)
                    except Interrupted:
                        pass
                    except (Unavailable, OutcomeUnknown, SessionExpired) as error:
                        logger.warning("the schedule %r is looked at again: %s", self.name, error)
                        sleep(AGAIN_MS)
        finally:
            self._stops.pop(stop, None)

    def stop(self) -> None:
        """End `run`, once the function has returned that runs now. Any thread may call it, and a handler of a
        signal."""
        for stop in list(self._stops):
            stop.set()

    def put_due(self, now_s: float) -> bool:
        """Put the slot that is due at `now_s`, in seconds since the epoch, unless somebody has; returns whether it was
        put here and now."""
        slot = self.schedule.latest(now_s)
        is_waiting = self._is_waiting()
        try:
            with self._db.transaction() as transaction:
                last = transaction.get(self._key)
                if last is not None and int(last) >= slot:
                    return False
                transaction.set(self._key, slot)
                if last is None or is_waiting:
                    return False
                transaction.put(self._queue.name, slot, unique="slot", group="slot")
        except Conflict:
            return False
        return True

    def _turn(self, client: "Client[bytes]") -> None:
        """Put what is due, and run what is there, waiting for it until the next slot."""
        now_s = time.time()
        self.put_due(now_s)
        left_s = self.schedule.following(self.schedule.latest(now_s)) - now_s
        wait = min(max(left_s, 0.001), WAIT_MS_MAX / 1000)
        for job in self._queue._fetch(client, 1, VISIBILITY_S, self._max_run, wait):
            with job:
                self._function()
                self._done(job)

    def _done(self, job: "Job[Any]") -> None:
        """The job is done, and what came due meanwhile is skipped, in one entry."""
        while True:
            try:
                with self._db.transaction(job=job) as transaction:
                    last = int(transaction.get(self._key) or 0)
                    transaction.set(self._key, max(last, self.schedule.latest(time.time())))
                return
            except Conflict:
                pass  # another process has put a slot, or skipped it

    def _is_waiting(self) -> bool:
        try:
            info = self._queue.info()
        except RaftdbError as error:
            if error.code != "not_found":
                raise
            return False
        return any(info.get(state) for state in WAITING)
