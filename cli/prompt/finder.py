"""Looking up what the cluster holds and paths of the disk for completion, without holding up the prompt.

Both may be slow: a node may be paused, and a folder may be on another machine. So they are looked up in a thread, and
the prompt waits no longer than `FIND_MS_MAX`. Only the latest question is answered. Results are kept for a moment,
because the next letters narrow them down.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from cli.line.suggest import Kind, Wanted
from raftdb.client.credentials import Credentials
from raftdb.client.dialing import now_ms
from raftdb.client.encryption import TlsOption
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError

FIND_MS_MAX = 150
"""Longest wait for completions; a later result is still kept."""
FIRST_SHARE = 0.6
"""The share of the remaining time that one node may take before another is asked."""
FRESH_MS_MAX = 2_000
"""How long results are used."""
FOUND_MAX = 100
"""Most keys, names and paths that are offered."""
_LISTED_BY = {Kind.QUEUE: "queues", Kind.LOCK: "locks"}
"""The command that lists names of a kind."""


@dataclass(frozen=True, slots=True)
class Found:
    """What begins with a prefix, all of them (`is_whole`) or the first ones; found at `at_ms`."""

    things: tuple[bytes, ...]
    is_whole: bool
    at_ms: float


class Finder:
    """Answers `Wanted` in a thread of its own. `addresses` returns the nodes to ask, the best one first, and is called
    at each search."""

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        *,
        tls: TlsOption = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._addresses = addresses
        self._tls = tls
        self._credentials = credentials
        self._remembered: dict[Wanted, Found] = {}
        self._questions: queue.SimpleQueue[tuple[Wanted, Callable[[], None]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def remembered(self, wanted: Wanted) -> tuple[bytes, ...] | None:
        """The results that are known already; None if none are."""
        # Names in a folder, and hidden ones, do not follow from those beside it.
        shortest = len(wanted.prefix) if wanted.kind is Kind.PATH else 0
        for length in range(len(wanted.prefix), shortest - 1, -1):
            found = self._remembered.get(Wanted(wanted.kind, wanted.prefix[:length]))
            is_exact = length == len(wanted.prefix)
            if found is not None and (is_exact or found.is_whole) and now_ms() - found.at_ms < FRESH_MS_MAX:
                return tuple(thing for thing in found.things if thing.startswith(wanted.prefix))
        return None

    async def find(self, wanted: Wanted) -> tuple[bytes, ...]:
        """The results that are found within `FIND_MS_MAX`, perhaps none."""
        known = self.remembered(wanted)
        if known is not None:
            return known
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()

        def answer() -> None:
            with suppress(RuntimeError):  # the loop has ended, with the line that was being typed
                loop.call_soon_threadsafe(answered.set)

        self._ask(wanted, answer)
        try:
            await asyncio.wait_for(answered.wait(), FIND_MS_MAX / 1000.0)
        except TimeoutError:
            return ()
        return self.remembered(wanted) or ()

    def stop(self) -> None:
        """End the thread after its present search."""
        self._questions.put(None)

    def _ask(self, wanted: Wanted, answer: Callable[[], None]) -> None:
        if self._thread is None:
            # The first completion starts the thread, because many shells never complete a key.
            self._thread = threading.Thread(target=self._serve, name="find completions", daemon=True)
            self._thread.start()
        self._questions.put((wanted, answer))

    def _serve(self) -> None:
        while True:
            question = self._questions.get()
            while not self._questions.empty() and question is not None:
                question[1]()  # a newer question has come, so this one gets no results
                question = self._questions.get()
            if question is None:
                return
            wanted, answer = question
            things = _paths(wanted.prefix) if wanted.kind is Kind.PATH else self._held(wanted)
            if things is not None:
                kept = {old: found for old, found in self._remembered.items() if old.kind is not wanted.kind}
                kept[wanted] = Found(things, len(things) < FOUND_MAX, now_ms())
                self._remembered = kept
            answer()

    def _held(self, wanted: Wanted) -> tuple[bytes, ...] | None:
        """The first keys or names that are wanted, from the first node that answers; None if none does in time."""
        ends_ms = now_ms() + FIND_MS_MAX
        addresses = self._addresses()
        for position, address in enumerate(addresses, start=1):
            left_ms = ends_ms - now_ms()
            if left_ms <= 0:
                break
            # The first node may be paused, so some time is left for another.
            timeout_ms = left_ms if position == len(addresses) else left_ms * FIRST_SHARE
            with Client(
                address,
                timeout_ms=timeout_ms,
                sessions=False,
                tls=self._tls,
                credentials=self._credentials,
            ) as client:
                try:
                    return _read(client, wanted)
                except RaftdbError:
                    continue
        return None


def _read(client: Client, wanted: Wanted) -> tuple[bytes, ...]:
    """The first keys or names that begin with the prefix."""
    command = _LISTED_BY.get(wanted.kind)
    if command is None:
        page = client.key_page(wanted.prefix, limit=FOUND_MAX, values=False, consistency="stale")
        return tuple(found.key for found in page.keys)
    listed = client.execute(command, [wanted.prefix, b"", str(FOUND_MAX).encode()], consistency="stale").value
    # Of a lock there is more than its name.
    rows = listed if isinstance(listed, list) else []
    firsts = (row[0] if isinstance(row, list) else row for row in rows)
    return tuple(first for first in firsts if isinstance(first, bytes))


def _paths(prefix: bytes) -> tuple[bytes, ...] | None:
    """The paths that begin with `prefix`, sorted, folders with a slash at the end; None if they cannot be read."""
    folder, slash, name = prefix.rpartition(b"/")
    place = os.path.expanduser(folder + slash) or b"."
    try:
        with os.scandir(place) as entries:
            matching = (
                entry
                for entry in entries
                # Hidden files are offered only once the dot is typed.
                if entry.name.startswith(name) and (name or not entry.name.startswith(b"."))
            )
            found = [folder + slash + entry.name + (b"/" if entry.is_dir() else b"") for entry in matching]
    except (OSError, ValueError):  # the text may have a NUL byte
        return None
    return tuple(islice(sorted(found), FOUND_MAX))
