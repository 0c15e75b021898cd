"""The nemesis: it chooses, from a seed, what is done to the nodes, when, and for how long, and undoes all of it.

The order of the faults, their victims' numbers and their durations follow from the seed. Time is real, so who leads
when a fault strikes, and what the clients were doing, does not.
"""

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from cli.torture.journal import Journal

INTERVAL_S_MEAN = 2.0
"""Time between two faults, on average."""
PERIOD_S = 0.05
"""Time between two looks at what is due."""
CROWDED = 0.15
"""Share of the faults that strike although as many nodes are harmed as a cluster bears."""
MERCY_S = 6.0
"""No harm is done once no write was acknowledged for so long: a cluster that cannot work shows little."""
DURATIONS_S = ((0.0, 0.5), (0.5, 2.0), (3.0, 8.0))
"""How long faults last: blinks, moments, and longer than elections and timeouts of clients take."""

Heal = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that has struck: what it is called for people, whom it harms (ids of nodes), and what undoes it."""

    words: str
    harms: tuple[str, ...] = ()
    heal: Heal | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault. `strike` gets the chance of this one alone, and its duration in seconds; it returns None if it
    does not fit the moment. `is_harm`: it takes a node from the others while it lasts."""

    name: str
    weight: float
    strike: Callable[[random.Random, float], Strike | None]
    is_harm: bool = True


@dataclass(order=True, slots=True)
class _Due:
    at_s: float
    number: int
    strike: Strike = field(compare=False)


class Nemesis:
    """A thread that strikes between `begin` and `end`. `counts` says how often each kind has struck."""

    def __init__(
        self,
        faults: tuple[Fault, ...],
        seed: str,
        journal: Journal,
        *,
        harmed_max: Callable[[], int],
        coming_up: Callable[[], set[str]],
        silence_s: Callable[[], float],
        look: Callable[[], None],
    ) -> None:
        """`harmed_max` is how many nodes may be harmed at a time, mostly, together with those that are `coming_up`;
        `silence_s` is for how long no write was acknowledged; `look` is called all the time."""
        self.counts: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        """What has ended it, if that was not `end`."""
        self._faults = faults
        self._seed = seed
        self._journal = journal
        self._harmed_max = harmed_max
        self._coming_up = coming_up
        self._silence_s = silence_s
        self._look = look
        self._due: list[_Due] = []
        self._numbers = count(1)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin to strike."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._guarded, name="nemesis", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Strike no more, and undo everything."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def now(self) -> str:
        """What is being done at this moment, for people."""
        return ", ".join(due.strike.words for due in sorted(self._due))

    @property
    def harmed(self) -> set[str]:
        """The nodes that are harmed now."""
        return {node for due in self._due for node in due.strike.harms}

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - the run looks at it, and ends
            self.failures.append(error)
        finally:
            self._heal_all()

    def _run(self) -> None:
        next_s = time.monotonic()
        while not self._stop.wait(PERIOD_S):
            self._look()
            while self._due and self._due[0].at_s <= time.monotonic():
                self._heal(heapq.heappop(self._due))
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + self._strike()

    def _strike(self) -> float:
        """Strike once, if that fits; returns the time until the next fault."""
        number = next(self._numbers)
        chance = random.Random(f"{self._seed}/{number}")
        fault = chance.choices(self._faults, [fault.weight for fault in self._faults])[0]
        duration_s = chance.uniform(*chance.choice(DURATIONS_S))
        pause_s = chance.expovariate(1 / INTERVAL_S_MEAN)
        if fault.is_harm and self._silence_s() > MERCY_S:
            return pause_s
        is_crowded = fault.is_harm and len(self.harmed | self._coming_up()) >= self._harmed_max()
        if is_crowded and chance.random() >= CROWDED:
            return pause_s
        strike = fault.strike(chance, duration_s)
        if strike is None:
            return pause_s
        self.counts[fault.name] += 1
        lasting = "" if strike.heal is None else f" for {duration_s:.1f} s"
        self._journal.note(f"{fault.name}: {strike.words}{lasting}")
        if strike.heal is not None:
            heapq.heappush(self._due, _Due(time.monotonic() + duration_s, number, strike))
        return pause_s

    def _heal(self, due: _Due) -> None:
        if due.strike.heal is not None:
            due.strike.heal()
            self._journal.note(f"over: {due.strike.words}")

    def _heal_all(self) -> None:
        while self._due:
            try:
                self._heal(heapq.heappop(self._due))
            except Exception as error:  # noqa: BLE001 - the others are to be undone all the same
                self.failures.append(error)
