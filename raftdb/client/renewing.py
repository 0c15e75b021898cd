"""The two threads that keep what a client holds: one renews it, the other tells of what is lost.

They are threads of their own, with a blocking client of their own, for both clients: an event loop that is blocked by
somebody's computation, or a call that waits for a new leader, keeps no renewal from being sent. And they are two,
because a renewal may hang in the network, while what is lost is lost by time alone (`raftdb.client.leases`).

They begin with the first thing that is held, and end when there has been nothing for a while, so a client that is
dropped leaves no thread behind.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from raftdb.client.credentials import Credentials
from raftdb.client.encryption import TlsOption
from raftdb.client.keeping import Batch, Keeping, Kept
from raftdb.client.leases import now_ms
from raftdb.client.service_methods import renewal
from raftdb.errors import CommandFailed, Fenced, RaftdbError

WATCH_S_MAX = 0.5
"""The longest sleep of the threads while something is held: the clock of a sleep may stand still while the machine is
suspended, and what was lost then is told this long after it wakes up."""
IDLE_S = 10.0
"""A thread ends when nothing was held for this long."""
CALL_MS_MIN = 100.0
CALL_MS_MAX = 5_000.0
"""A renewal is tried for this long, or as long as the lease lasts, before the next attempt."""

logger = logging.getLogger("raftdb.client")


class Renewer(Protocol):
    """Sends renewals."""

    def renew(self, batch: Batch, timeout_ms: float) -> int:
        """Returns how many of the batch are renewed. Raises `Fenced` if one of several locks is over, and
        `RaftdbError`."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Renewals:
    """Keeps what is held, and lets go what is lost."""

    def __init__(self, make: Callable[[], Renewer]) -> None:
        """`make` makes what sends renewals, on the thread that sends them."""
        self._make = make
        self._keeping = Keeping()
        self._changed = threading.Condition()
        self._running: set[str] = set()

    def keep(self, kept: Kept) -> None:
        """Renew it whenever that is due, until it is dropped or lost."""
        with self._changed:
            self._keeping.add(kept)
            for name, work in (("raftdb-renewals", self._renew), ("raftdb-leases", self._watch)):
                if name not in self._running:
                    thread = threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)
                    thread.start()
                    self._running.add(name)
            self._changed.notify_all()

    def drop(self, kept: Kept) -> None:
        """Renew it no longer."""
        self._keeping.remove(kept)

    def _run(self, name: str, work: Callable[[str], None]) -> None:
        """One of the threads. If it fails the next thing that is kept begins another."""
        try:
            work(name)
        except BaseException:
            with self._changed:
                self._running.discard(name)
            raise

    def _watch(self, name: str) -> None:
        while self._sleep(name, self._keeping.next_end_ms):
            for lost in self._keeping.take_lost():
                lost.on_lost()

    def _renew(self, name: str) -> None:
        renewer = self._make()
        try:
            while self._sleep(name, self._keeping.next_due_ms):
                for batch in self._keeping.due(now_ms()):
                    send(renewer, batch)
                self._tell_of_ends()
        finally:
            renewer.close()

    def _tell_of_ends(self) -> None:
        """Let the other thread look, because the cluster may have said that something is over."""
        with self._changed:
            self._changed.notify_all()

    def _sleep(self, name: str, until_ms: Callable[[], float]) -> bool:
        """Wait until something may be due; returns False if the thread is to end, which counts as ended then."""
        with self._changed:
            if not self._keeping and not self._changed.wait(IDLE_S) and not self._keeping:
                self._running.discard(name)
                return False
            left_s = min((until_ms() - now_ms()) / 1000.0, WATCH_S_MAX)
            if left_s > 0:
                self._changed.wait(left_s)
            return True


def send(renewer: Renewer, batch: Batch) -> None:
    """Send the renewals of a batch, and note what comes of it."""
    sent_ms = now_ms()
    timeout_ms = min(max(batch.ends_ms - sent_ms, CALL_MS_MIN), CALL_MS_MAX)
    try:
        renewed = renewer.renew(batch, timeout_ms)
    except Fenced:
        renewed = 0
    except CommandFailed as error:
        # What is refused as such, as when the queue is gone, is over.
        logger.warning("a renewal was refused: %s", error)
        renewed = 0
    except RaftdbError as error:
        logger.debug("a renewal is tried again: %s", error)
        for one in batch.kept:
            one.lease.failed()
        return
    if renewed == len(batch.kept):
        for one in batch.kept:
            one.lease.renewed(sent_ms)
        return
    # One of several is over, if not all: each is asked for by itself.
    for one in batch.kept:
        if len(batch.kept) > 1:
            send(renewer, Batch((one,)))
        else:
            one.lease.end()


class ClientRenewer:
    """Sends renewals by a blocking client of its own. They need no session: twice does no harm."""

    def __init__(self, addresses: Sequence[str], tls: TlsOption, credentials: Credentials) -> None:
        from raftdb.client.sync_client import Client

        self._client = Client(addresses, sessions=False, tls=tls, credentials=credentials)

    def renew(self, batch: Batch, timeout_ms: float) -> int:
        """See `Renewer`."""
        return self._client._run(renewal(batch), timeout_ms)

    def close(self) -> None:
        """See `Renewer`."""
        self._client.close()
