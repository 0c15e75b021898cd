"""What every workload is: clients that take steps, a history of them, and a check of that history.

A workload lives for one round, on keys of its own, so that histories stay short, and are forgotten once they are
checked.
"""

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cli.torture.recorder import Attempt, Ending, Recorder
from raftdb.client.sync_client import Client
from raftdb.errors import LocalProtocolError, RaftdbError

OPERATIONS_PER_ROUND_MAX = 50_000
"""Operations that a workload keeps of one round; then its clients rest until the next one."""
PART_SHOWN_MAX = 40
"""Most operations in the part of a history that is shown with a problem."""

Line = Mapping[str, Any]
"""One operation of a history, as it is written to a file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A promise that was broken: in words, and the part of the history that shows it, as small as it was found."""

    text: str
    part: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check. `parts` are those that were searched by themselves, keys mostly; of the `undecided` ones
    nothing is known, because the search ran out of its budget."""

    problems: Sequence[Problem] = ()
    parts: int = 1
    undecided: int = 0


@dataclass(slots=True)
class Worker:
    """One client of a workload: its name, its source of chance, and how many steps it has taken."""

    name: str
    chance: random.Random
    steps: int = field(default=0)


class Workload(ABC):
    """One kind of load in one round."""

    name: ClassVar[str]
    clients: ClassVar[int]
    """How many clients there are at a time."""

    def __init__(self, number: int, seed: str, recorder: Recorder) -> None:
        """`number` is that of the round."""
        self.number = number
        self.lock = threading.Lock()
        self._seed = seed
        self._recorder = recorder
        self._noted = 0

    @property
    def is_full(self) -> bool:
        """Whether its history has as many operations as it may."""
        return self._noted >= OPERATIONS_PER_ROUND_MAX

    def worker(self, number: int) -> Worker:
        """The client with this number."""
        name = f"{self.name}-{number}"
        return Worker(name, random.Random(f"{self._seed}/{self.number}/{name}"))

    def attempt(self, call: Callable[[], Any], *, writes: bool) -> Attempt:
        """One operation, see `Recorder.attempt`."""
        with self.lock:
            self._noted += 1
        return self._recorder.attempt(self.name, call, writes=writes)

    def certain(self, call: Callable[[], Any]) -> Attempt:
        """One operation of a healed cluster, which has to be acknowledged. Raises `RaftdbError` if it is not."""
        attempt = self.attempt(call, writes=False)
        if isinstance(attempt.error, RaftdbError):
            raise attempt.error
        if attempt.ending is not Ending.OK:
            raise LocalProtocolError(f"an operation of {self.name} ended {attempt.ending}")
        return attempt

    def prepare(self, client: Client[bytes]) -> None:  # noqa: B027 - most need nothing
        """Write what the clients begin with, before there are faults."""

    @abstractmethod
    def step(self, client: Client[bytes], worker: Worker) -> None:
        """One step of one client. It may raise nothing: what a client should not meet is a problem of its own."""

    @abstractmethod
    def finish(self, client: Client[bytes]) -> None:
        """Read everything once more, when all faults are healed and no client writes any more."""

    @abstractmethod
    def check(self) -> Checked:
        """Whether the history is one that raftdb may have."""

    @abstractmethod
    def history(self) -> Iterator[Line]:
        """All operations, in the order in which they were noted."""


def shown(value: Any) -> Any:
    """A value as JSON has it: bytes as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, tuple | list):
        return [shown(one) for one in value]
    return value
