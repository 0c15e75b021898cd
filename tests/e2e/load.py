"""Clients that write all the time and remember what they were promised."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from tests.e2e.cluster import Cluster
from tests.e2e.raw_http import Acked, Client, Outcome, Refused, Unknown
from tests.e2e.waiting import wait_for

PAUSE_S = 0.02
KEYS_PER_READ = 500


class Load:
    """Threads that each write keys of their own, every key once: `PREFIX-THREAD-NUMBER`, the value equal to the key.

    Each also appends a word to one key shared by all. What may have happened is never tried again, so every word
    stands there at most once, an acknowledged one exactly once, and those of one thread in their order.
    """

    def __init__(
        self, addresses: Sequence[str], prefix: str, *, threads: int = 4, timeout_s: float = 20.0
    ) -> None:
        self.prefix = prefix
        self.acked: dict[str, int] = {}
        """Key to log index."""
        self.unknown: set[str] = set()
        self.acked_words: list[list[str]] = [[] for _ in range(threads)]
        self.unknown_words: set[str] = set()
        self.refused: set[str] = set()
        """Codes of refusals that were seen."""
        self.acked_at: list[float] = []
        """When each acknowledgement came, of the monotonic clock."""
        self.slowest_s = 0.0
        """The longest that one write took from its first attempt to its acknowledgement."""
        self._addresses = list(addresses)
        self._timeout_s = timeout_s
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._guarded, args=(number,)) for number in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; what one of them met with is raised here."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60.0)
            assert not thread.is_alive()
        if self._failures:
            raise self._failures[0]

    def wait_for_acks(self, count: int) -> None:
        """Until so many more writes are acknowledged."""
        begin = len(self.acked)
        wait_for(lambda: self._failures or len(self.acked) >= begin + count, f"{count} acknowledged writes")

    def longest_silence_s(self, begin: float, end: float) -> float:
        """The longest time between `begin` and `end`, of the monotonic clock, in which nothing was acknowledged."""
        times = [begin, *sorted(at for at in list(self.acked_at) if begin < at < end), end]
        return max(later - earlier for earlier, later in pairwise(times))

    def _guarded(self, number: int) -> None:
        client = Client(
            self._addresses[number % len(self._addresses) :] + self._addresses, timeout_s=self._timeout_s
        )
        try:
            self._write(client, number)
        except BaseException as error:  # noqa: BLE001 - raised again in `stop`, by the thread of the test
            self._failures.append(error)
        finally:
            client.close()

    def _write(self, client: Client, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            key = f"{self.prefix}-{number}-{count}"
            match self._attempt(client, "set", key, key):
                case Acked(result="OK", index=index):
                    self.acked[key] = index
                case Unknown():
                    self.unknown.add(key)
            match self._attempt(client, "append", f"{self.prefix}-words", f"{key};"):
                case Acked(result="OK"):
                    self.acked_words[number].append(key)
                case Unknown():
                    self.unknown_words.add(key)

    def _attempt(self, client: Client, *command: str) -> Outcome | None:
        """One command, tried until it has an outcome or the test wants no more."""
        begin = time.monotonic()
        while not self._stop.is_set():
            outcome = client.try_execute(*command)
            if isinstance(outcome, Refused):
                assert outcome.status == 503, outcome
                self.refused.add(outcome.code)
            elif outcome is not None:
                if isinstance(outcome, Acked):
                    now = time.monotonic()
                    self.acked_at.append(now)
                    self.slowest_s = max(self.slowest_s, now - begin)
                return outcome
            self._stop.wait(PAUSE_S)
        return None

    def check(self, client: Client) -> None:
        """Everything acknowledged is there, and nothing that nobody wrote."""
        keys = sorted(self.acked)
        for begin in range(0, len(keys), KEYS_PER_READ):
            page = keys[begin : begin + KEYS_PER_READ]
            values = client.result("mget", *page)
            lost = [key for key, value in zip(page, values, strict=True) if value != key]
            assert not lost, f"acknowledged, and lost: {lost[:10]} ({len(lost)} of {len(page)})"
        words = client.result("get", f"{self.prefix}-words").split(";")[:-1]
        assert len(words) == len(set(words)), "a word was appended twice"
        for number, acked in enumerate(self.acked_words):
            allowed = set(acked) | self.unknown_words
            found = [word for word in words if word.startswith(f"{self.prefix}-{number}-")]
            lost = sorted(set(acked) - set(found))
            assert not lost, f"acknowledged, and lost: {lost[:10]}"
            assert set(found) <= allowed, sorted(set(found) - allowed)[:10]
            numbers = [int(word.rpartition("-")[2]) for word in found if word in set(acked)]
            assert numbers == sorted(numbers), "the words of one client are out of order"


@contextmanager
def load_on(
    cluster: Cluster,
    prefix: str,
    *,
    threads: int = 4,
    more: Sequence[str] = (),
    timeout_s: float = 20.0,
) -> Iterator[Load]:
    """A load that runs inside the `with` block. `more`: addresses of nodes that are to come."""
    load = Load([*cluster.addresses, *more], prefix, threads=threads, timeout_s=timeout_s)
    load.start()
    try:
        yield load
    finally:
        load.stop()
