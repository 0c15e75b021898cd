"""Simulated clients whose requests the leader holds: they wait for messages of a queue, and for locks.

Those that put messages and give locks back are among them. What they are told of messages the model checks, as that of
all others; a token must be one that the log has granted to this owner (`lock_witness`); and each request has to be
answered (`holding`).
"""

from typing import NamedTuple

from raftdb.machine.locks.holding import Lock, Unlock
from raftdb.machine.locks.records import LockMode
from raftdb.machine.queues.deliveries import Ack
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.service import Command
from raftdb.simulation.caller import AnswerToCheck, CallOutcome, Kind, World
from raftdb.simulation.paced import PacedClient
from raftdb.simulation.scheduler import SECOND

QUEUE = b"calls"
LOCK = b"counter"
LEASE_MS = 1_000
WAITS_MS = (50, 200, 1_000)
VISIBILITY_MS = 200
CLOSE_SHARE = 0.03
"""How often a client closes its session, if it has one; the locks that it has are given back then."""
PROBE_WAIT_MS = 5_000
PATIENT_US = 5 * SECOND
PROBE_PUT_US = SECOND // 2


class ToldToken(NamedTuple):
    """A token that a client was told of."""

    name: bytes
    owner: bytes
    token: int


class Waiter(PacedClient):
    """One client, which puts messages and waits for them, and holds a lock for a moment. `served` counts requests that
    got something, `in_vain` those that were held until their time was over."""

    def __init__(self, world: World, name: str, told: list[AnswerToCheck], *, with_session: bool) -> None:
        super().__init__(world, name, told, with_session=with_session)
        self.served = self.in_vain = self.probed = 0
        self.tokens: list[ToldToken] = []
        self._values = 0

    def _proceed(self) -> None:
        chance = self._world.chance
        draw = chance.fraction()
        if draw < CLOSE_SHARE:
            self._caller.close_session(
                lambda ending: self._pause(), timeout_us=self._world.options.client_timeout_us
            )
        elif draw < 0.3:
            self._ask(self._put(QUEUE))
        elif draw < 0.8:
            command = chance.choose((Dequeue(QUEUE), Receive(QUEUE, chance.between(1, 3), VISIBILITY_MS)))
            self._wait(command)
        else:
            mode = chance.choose((LockMode.EXCLUSIVE, LockMode.EXCLUSIVE, LockMode.SHARED))
            self._wait(Lock(LOCK, mode, ttl_ms=LEASE_MS, owner=self.name.encode()))

    def _put(self, queue: bytes) -> Enqueue:
        self._values += 1
        return Enqueue(queue, b"%s-%d" % (self.name.encode(), self._values))

    def _wait(self, command: Command) -> None:
        wait_ms = self._world.chance.choose(WAITS_MS)
        self._ask(command, lambda ending: self._waited(command, ending), wait_ms=wait_ms)

    def _waited(self, command: Command, ending: CallOutcome) -> None:
        chance = self._world.chance
        if ending.kind is not Kind.ANSWERED:
            self._pause()
        elif not ending.value:
            self.in_vain += 1
            self._pause()
        else:
            self.served += 1
            if isinstance(command, Lock):
                token = ending.value[0]
                self.tokens.append(ToldToken(command.name, command.owner, token))
                self._later(Unlock(command.name, token))
            elif isinstance(command, Receive) and chance.happens(0.7):
                self._later(Ack(command.queue, tuple(one[1] for one in ending.value)))
            else:
                self._pause()

    def _later(self, command: Command) -> None:
        """What is to be done with something that was waited for, after a moment of work."""
        chance = self._world.chance
        self._world.scheduler.after(chance.below(self._world.options.think_us), self._ask, command)

    def probe(self, queue: bytes, *, puts: bool) -> None:
        """Wait for a message of `queue` in a healthy cluster, or put one a moment later; either must be done."""
        if puts:
            put = self._put(queue)
            self._world.scheduler.after(PROBE_PUT_US, self._probe_with, put, None)
        else:
            self._probe_with(Dequeue(queue), PROBE_WAIT_MS)

    def probe_in_vain(self, queue: bytes) -> None:
        """Wait for a message that nobody puts; that there is none must be said in time."""

        def ended(ending: CallOutcome) -> None:
            self.probed += ending.kind is Kind.ANSWERED and ending.value is None

        self._ask(Dequeue(queue), ended, timeout_us=PATIENT_US, wait_ms=WAITS_MS[0])

    def _probe_with(self, command: Command, wait_ms: int | None) -> None:
        self._ask(command, self._was_probed, timeout_us=PATIENT_US, wait_ms=wait_ms)

    def _was_probed(self, ending: CallOutcome) -> None:
        self.probed += ending.kind is Kind.ANSWERED and bool(ending.value)
