"""The threads that hold something: who they are, how they hear that it is lost, and many at a time.

`async_tasks` has the same names with the same meaning, for the tasks of an event loop.
"""

import threading
from collections.abc import Callable, Sequence

from raftdb.client.leases import Lease


def current() -> object:
    """The thread that runs now: it is what owns a lock."""
    return threading.current_thread()


def teller(call: Callable[[], object]) -> Callable[[], None]:
    """What calls `call` on a thread of its own, so that it may take its time."""

    def tell() -> None:
        threading.Thread(target=call, name="raftdb-session-lost", daemon=True).start()

    return tell


class Lost:
    """An event that is set once a lease is lost. That is decided by time: `is_set` is true from that moment on, even if
    the process was stopped meanwhile."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._event = threading.Event()

    def is_set(self) -> bool:
        """Whether it is lost."""
        return self._lease.is_lost

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is lost, or for `timeout` seconds; returns whether it is."""
        return self._event.wait(timeout) or self._lease.is_lost

    def enter(self) -> "Block":
        """The block of the current thread."""
        return Block()

    def tell(self) -> None:
        """Note that it is lost, from any thread."""
        self._event.set()


class Block:
    """A block of a thread. Threads cannot be cancelled: they look at `Lost`, or are refused what they write."""

    def leave(self, error: BaseException | None) -> bool:
        """Note that the block is left; returns whether `error` is its cancellation, which it never is."""
        return False


def run_all(work: Sequence[Callable[[], None]], stop: Callable[[], None]) -> None:
    """Run all of `work` at the same time, each in a thread, to the end. If one fails, or this thread is interrupted,
    the others are told to stop, and the error is raised once they have."""
    errors: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001 - it is raised again by the thread that waits for all
            errors.append(error)
            stop()

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        stop()
        for thread in threads:
            thread.join()
        raise
    if errors:
        raise errors[0]
