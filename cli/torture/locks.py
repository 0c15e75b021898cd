"""Locks with fences: clients that take a lock and write under it, some of which keep it for too long.

A token is higher than all before it, and under a lock nobody writes once a later token has written.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from cli.torture.recorder import Attempt, Ending, Recorder
from cli.torture.workload import PART_SHOWN_MAX, Checked, Line, Problem, Worker, Workload
from raftdb.client.leases import LockLost
from raftdb.client.sync_client import Client
from raftdb.client.sync_locks import Held

LOCKS = 2
TTL_S = 1.5
WAIT_S = 2.0
WRITES_MAX = 4
SLOW = 0.2
"""Share of the holders that pause between their writes."""
PAUSE_S = 0.5
SEPARATOR = ";"


@dataclass(frozen=True, slots=True)
class Grant:
    """A lock that somebody got, at some time after `asked`: an earlier attempt that seemed in vain may have got it, and
    whoever asks again then gets the same token."""

    lock: int
    token: int
    client: str
    asked: int
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Write:
    """A word that somebody wrote under a token, to the key of the lock."""

    lock: int
    token: int
    word: str
    attempt: Attempt


class Locks(Workload):
    """See the module."""

    name = "locks"
    clients = 3

    def __init__(self, number: int, seed: str, recorder: Recorder) -> None:
        super().__init__(number, seed, recorder)
        self.grants: list[Grant] = []
        self.writes: list[Write] = []
        self._asked: dict[tuple[str, int], int] = {}
        """Since when a client asks for a lock, without having got it."""
        self.found: dict[int, list[str]] = {}
        """The words under each lock at the end."""

    def step(self, client: Client[bytes], worker: Worker) -> None:
        """Take a lock, write under it, and give it back."""
        number = worker.chance.randrange(LOCKS)
        lock = client.lock(self._name(number), ttl=TTL_S, wait=WAIT_S)
        attempt = self.attempt(lock.acquire, writes=True)
        asked = self._asked.setdefault((worker.name, number), attempt.invoked)
        if attempt.ending is not Ending.OK:
            return
        del self._asked[worker.name, number]
        held: Held[bytes] = attempt.value
        with self.lock:
            self.grants.append(Grant(number, held.token, worker.name, asked, attempt))
        try:
            self._write_under(held, number, worker)
        except LockLost:
            self._recorder.count(self.name, Ending.FAILED, wrote=False)
        finally:
            with suppress(LockLost):
                held.release()

    def finish(self, client: Client[bytes]) -> None:
        """Read what was written under each lock."""
        for number in range(LOCKS):
            value = self.certain(partial(client.get, self._name(number))).value
            self.found[number] = (value or b"").decode().split(SEPARATOR)[:-1]

    def check(self) -> Checked:
        """See the module."""
        problems = []
        by_word = {write.word: write for write in self.writes}
        for number in range(LOCKS):
            for text in self._wrong_words(number, by_word):
                part = [line_of(write) for write in self.writes if write.lock == number]
                problems.append(Problem(f"{self._name(number)}: {text}", part[-PART_SHOWN_MAX:]))
        return Checked([*problems, *_wrong_tokens(self.grants)], LOCKS)

    def history(self) -> Iterator[Line]:
        """All grants, and all writes."""
        yield from map(line_of, self.grants)
        yield from map(line_of, self.writes)

    def _name(self, number: int) -> str:
        return f"k{self.number}-{number}"

    def _write_under(self, held: Held[bytes], number: int, worker: Worker) -> None:
        """Write some words, at leisure or not. Raises `LockLost`."""
        is_slow = worker.chance.random() < SLOW
        for _ in range(worker.chance.randint(1, WRITES_MAX)):
            worker.steps += 1
            self._write(held, number, f"{held.token}.{worker.name}.{worker.steps}")
            if is_slow:
                time.sleep(worker.chance.uniform(0, PAUSE_S))

    def _write(self, held: Held[bytes], number: int, word: str) -> None:
        attempt = self.attempt(lambda: held.db.append(self._name(number), word + SEPARATOR), writes=True)
        with self.lock:
            self.writes.append(Write(number, held.token, word, attempt))

    def _wrong_words(self, number: int, by_word: dict[str, Write]) -> Iterator[str]:
        found = self.found.get(number, [])
        if len(set(found)) != len(found):
            yield "a word stands there twice"
        written = {word for word, write in by_word.items() if write.lock == number}
        if strange := sorted(set(found) - written):
            yield f"nobody wrote {strange[:5]}"
        known = [by_word[word] for word in found if word in written]
        for write in known:
            if write.attempt.ending in (Ending.REFUSED, Ending.FAILED):
                yield f"{write.word} stands there, and its write was surely not executed"
        acked = {
            write.word for write in self.writes if write.lock == number and write.attempt.ending is Ending.OK
        }
        if lost := sorted(acked - set(found)):
            yield f"acknowledged, and lost: {lost[:5]}"
        for before, after in pairwise(known):
            if after.token < before.token:
                yield f"{after.word} was written when the token {before.token} had written already"


def _wrong_tokens(grants: Sequence[Grant]) -> Iterator[Problem]:
    """Tokens that two clients were given, or that were first given to one who asked when a higher one had been given.

    Whoever asks again for what it has, for it could not be reached to renew it in time, gets the same token.
    """
    first: dict[int, Grant] = {}
    for grant in grants:
        before = first.setdefault(grant.token, grant)
        if before.client != grant.client:
            yield Problem(f"the token {grant.token} was given to two", [line_of(before), line_of(grant)])
        elif grant.asked < before.asked:
            first[grant.token] = grant
    earliest: Grant | None = None
    for token in sorted(first, reverse=True):
        grant = first[token]
        if earliest is not None and grant.asked > earliest.attempt.returned:
            text = f"the token {token} was asked for when {earliest.token} had been given already"
            yield Problem(text, [line_of(earliest), line_of(grant)])
        if earliest is None or grant.attempt.returned < earliest.attempt.returned:
            earliest = grant


def line_of(one: Grant | Write) -> Line:
    """A grant or a write as it is written to a file."""
    what: Line = (
        {"word": one.word} if isinstance(one, Write) else {"granted_to": one.client, "asked_ns": one.asked}
    )
    return {
        "lock": one.lock,
        "token": one.token,
        **what,
        "outcome": str(one.attempt.ending),
        "invoked_ns": one.attempt.invoked,
        "returned_ns": one.attempt.returned,
    }
