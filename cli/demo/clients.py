"""Clients that go on beside the steps of a demonstration, and what they say of it in the end."""

import random
import threading
import time
from collections.abc import Callable

from cli.demo.results import Result
from cli.demo.stage import PATIENCE_S, Stage
from raftdb.client.sync_client import Client
from raftdb.errors import OutcomeUnknown, RaftdbError
from raftdb.machine.service import Command
from raftdb.machine.strings import Get, Set
from raftdb.simulation.linearizability import Operation, Verdict, check_history, verdict_of

PAUSE_S = 0.02
"""Between two commands of a client, so that a demonstration leaves the machine to the nodes."""
KEYS_MAX = 3
OPERATIONS_PER_CLIENT_MAX = 2_000
"""The search for an order takes longer than in proportion to the length of a history."""


class _Threads:
    """Threads, each of which does one thing after the other until told to end."""

    def __init__(self) -> None:
        self.answered = 0
        self.is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, *turns: Callable[[], None]) -> None:
        """Start a thread for each function, which is called again and again."""
        for turn in turns:
            self._threads.append(threading.Thread(target=self._repeat, args=(turn,), daemon=True))
            self._threads[-1].start()

    def _repeat(self, turn: Callable[[], None]) -> None:
        while not self.is_over.wait(PAUSE_S):
            turn()

    def end(self) -> None:
        """Tell them, and wait for them."""
        self.is_over.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)


class Counting:
    """A client that counts a key up. Each of its commands is executed once, in a session, whatever happens."""

    def __init__(self, stage: Stage, key: str) -> None:
        self._key = key
        self._client = Client(tuple(stage.addresses.values()), timeout_ms=1000 * stage.patience_s)
        self._last = 0
        self._failures: list[str] = []
        self._threads = _Threads()

    @property
    def answered(self) -> int:
        """How often it was answered."""
        return self._threads.answered

    def start(self) -> None:
        """Begin to count."""
        self._threads.begin(self._turn)

    def _turn(self) -> None:
        try:
            self._last = self._client.incr(self._key)
            self._threads.answered += 1
        except RaftdbError as error:
            self._failures.append(error.message)
            self._threads.is_over.set()

    def stop(self) -> None:
        """End."""
        self._threads.end()

    def verdict(self) -> Result:
        """Whether each number was answered once: the last one is how many there were."""
        if self._failures:
            return Result((f"stopped after {self.answered} by: {self._failures[0]}",), failed=True)
        is_right = self._last == self.answered
        line = f"counted {self.answered} times, and the last number is {self._last}"
        return Result((line,), failed=not is_right)


class Registers:
    """Clients that write and read a few keys, each through a node of its own, and write down when they asked and what
    was answered; in the end the history is searched for an order that explains it."""

    def __init__(self, stage: Stage, *, timeout_s: float = 1.5) -> None:
        addresses = list(stage.addresses.values())
        self._random = random.Random(stage.seed)
        self._history: list[Operation] = []
        self._lock = threading.Lock()
        self._refused = 0
        self._threads = _Threads()
        # Each begins at another node, and knows all of them.
        self._clients = [
            Client([*addresses[place:], *addresses[:place]], timeout_ms=1000 * timeout_s, sessions=False)
            for place in range(len(addresses))
        ]

    @property
    def answered(self) -> int:
        """How many commands were answered."""
        return self._threads.answered

    def start(self) -> None:
        """Begin to write and read."""
        self._threads.begin(*(self._turn_of(number) for number in range(len(self._clients))))

    def _turn_of(self, number: int) -> Callable[[], None]:
        client, count = self._clients[number], 0

        def turn() -> None:
            nonlocal count
            count += 1
            if count > OPERATIONS_PER_CLIENT_MAX:
                return
            with self._lock:
                key = f"register:{self._random.randrange(KEYS_MAX)}".encode()
                writes = self._random.random() < 0.5
            value = f"{number}-{count}".encode()
            command: Command = Set(key, value) if writes else Get(key)
            self._ask(str(number), client, command)

        return turn

    def _ask(self, name: str, client: Client[bytes], command: Command) -> None:
        invoked = time.monotonic_ns()
        returned: int | None = None
        result: object = None
        try:
            if isinstance(command, Set):
                client.set(command.key, command.value)
                result = "OK"
            elif isinstance(command, Get):
                result = client.get(command.key) or b""
            returned = time.monotonic_ns()
        except OutcomeUnknown:
            pass
        except RaftdbError:
            with self._lock:
                self._refused += 1
            return
        with self._lock:
            self._history.append(Operation(name, command, invoked, returned, result))
            self._threads.answered += returned is not None

    def stop(self) -> None:
        """End."""
        self._threads.end()

    def verdict(self) -> Result:
        """Whether there is an order of all commands that explains all answers."""
        verdict = verdict_of(check_history(self._history))
        unknown = len(self._history) - self.answered
        lines = [
            f"{self.answered} commands answered, {self._refused} refused, {unknown} without an answer",
            f"the history is {verdict}",
        ]
        return Result(tuple(lines), failed=verdict is not Verdict.LINEARIZABLE)
