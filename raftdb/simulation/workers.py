"""Simulated clients of queues: they put messages, receive some, and acknowledge them, in time or too late, alone or in
a transaction with a result; some give them back, some forget them. A few change settings, or empty a queue.

Every answer is compared with the model (`answers`); what became of every message is followed apart from it (`ledger`).
Values are unique, so that a message is known again under another id.
"""

from collections.abc import Callable

from raftdb.machine.editing import Append
from raftdb.machine.operations import Mode, TransactionOperation
from raftdb.machine.queues.deliveries import Ack, Extend, GiveBack, Nack
from raftdb.machine.queues.info import QueueInfo
from raftdb.machine.queues.looking import Peek, QueueLength, StateWanted
from raftdb.machine.queues.managing import Purge, QueueDelete, QueueRemove, QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.redriving import Redrive
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.service import Command
from raftdb.simulation.caller import AnswerToCheck, CallOutcome, Kind, World
from raftdb.simulation.paced import PacedClient
from raftdb.simulation.scheduler import MILLISECOND, Chance

QUEUES = (b"mail", b"mail", b"mail", b"jobs", b"dead")
VISIBILITY_MS_MAX = 400
SETTINGS = (
    (b"max_failures", b"1"),
    (b"max_failures", b"2"),
    (b"max_failures", b"0"),
    (b"dead_letter", b"dead"),
    (b"dead_letter", b""),
    (b"max_length", b"20"),
    (b"max_length", b"0"),
    (b"dedup_window", b"0.2"),
    (b"visibility", b"0.1"),
    (b"paused", b"0"),
    (b"paused", b"0"),
    (b"paused", b"1"),
)
BURIES_ELSEWHERE = ((b"max_failures", b"1"), (b"dead_letter", b"dead"))
PUT_SHARE = 0.35
RECEIVE_SHARE = 0.35
FORGOTTEN_SHARE = 0.15
"""The share of deliveries whose worker dies."""
TOO_LATE_SHARE = 0.2
"""The share of deliveries whose worker sleeps beyond its time, and goes on as if nothing were."""


class Worker(PacedClient):
    """One client of queues, with pauses between its requests, until it is told to stop."""

    def __init__(self, world: World, name: str, told: list[AnswerToCheck], *, with_session: bool) -> None:
        super().__init__(world, name, told, with_session=with_session)
        self.answered = 0
        self._number = 0
        self._receipts: list[tuple[bytes, bytes]] = []
        """Queues and receipts of the deliveries that are worked on, or lie about since."""

    def _note(self, ending: CallOutcome) -> None:
        self.answered += ending.kind is Kind.ANSWERED

    def _proceed(self) -> None:
        chance = self._world.chance
        draw = chance.fraction()
        if draw < PUT_SHARE:
            self._ask(self._put(chance))
        elif draw < PUT_SHARE + RECEIVE_SHARE:
            self._receive(chance)
        elif self._receipts and chance.happens(0.5):
            self._work_on(chance, *chance.choose(self._receipts))
        else:
            self._ask(self._other(chance))

    def _put(self, chance: Chance) -> Enqueue:
        self._number += 1
        return Enqueue(
            chance.choose(QUEUES),
            f"{self.name}-{self._number}".encode(),
            chance.choose((0, 0, 0, 50, 300)),
            chance.choose((b"", b"a", b"a", b"b")),
            chance.choose((0, 0, 0, 0, 9)),
            chance.choose((b"", b"", b"d%d" % chance.below(4))),
            chance.choose((b"", b"", b"u%d" % chance.below(4))),
            chance.choose((0, 0, 0, 200)),
        )

    def _receive(self, chance: Chance) -> None:
        queue = chance.choose(QUEUES)
        visibility_ms = 0 if chance.happens(0.3) else 1 + chance.below(VISIBILITY_MS_MAX)
        command = Receive(queue, chance.between(1, 4), visibility_ms, self.name.encode())
        self._ask(command, lambda ending: self._received(queue, ending))

    def _received(self, queue: bytes, ending: CallOutcome) -> None:
        chance = self._world.chance
        if ending.kind is Kind.ANSWERED:
            self._receipts = [*self._receipts[-4:], *((queue, one[1]) for one in ending.value)]
        if not self._receipts or chance.happens(FORGOTTEN_SHARE):
            self._pause()
            return
        delay_us = chance.below(self._world.options.think_us)
        if chance.happens(TOO_LATE_SHARE):
            delay_us += VISIBILITY_MS_MAX * MILLISECOND
        receipt = self._receipts[-1]
        self._world.scheduler.after(delay_us, self._work_on, chance, *receipt)

    def _work_on(self, chance: Chance, queue: bytes, receipt: bytes) -> None:
        """What a worker does with a delivery."""
        if self.is_stopping:
            return
        result = Append(b"results-%b" % queue, receipt + b".")
        mode = chance.choose((Mode.ATOMIC, Mode.REDIS))
        makers: tuple[Callable[[], Command | TransactionOperation], ...] = (
            lambda: Ack(queue, (receipt,)),
            lambda: Ack(queue, tuple(one for of, one in self._receipts if of == queue)),
            lambda: TransactionOperation((result, Ack(queue, (receipt,))), (), mode),
            lambda: TransactionOperation((result, Ack(queue, (receipt,)), self._put(chance)), (), mode),
            lambda: TransactionOperation((Ack(queue, (receipt,)), Receive(queue, 2, 100)), (), mode),
            lambda: Ack(queue, (receipt,)),
            lambda: Nack(queue, receipt),
            lambda: Nack(queue, receipt, chance.below(100), b"why"),
            lambda: Nack(queue, receipt, how=chance.choose((GiveBack.FREE, GiveBack.DEAD))),
            lambda: Extend(queue, 1 + chance.below(VISIBILITY_MS_MAX), (receipt,)),
        )
        maker: Callable[[], Command | TransactionOperation] = chance.choose(makers)
        self._ask(maker())

    def _other(self, chance: Chance) -> Command:
        """Something that workers do not do."""
        queue = chance.choose(QUEUES)
        ids = tuple(receipt.rpartition(b"-")[0] for of, receipt in self._receipts[:2] if of == queue)
        looks: tuple[Callable[[], Command], ...] = (
            lambda: QueueInfo(queue),
            lambda: QueueLength(queue),
            lambda: Peek(queue, chance.choose(tuple(StateWanted)), b"", 10),
            lambda: Dequeue(queue),
            lambda: Dequeue(queue),
        )
        rare: tuple[Callable[[], Command], ...] = (
            lambda: QueueSet(queue, (chance.choose(SETTINGS),)),
            lambda: Redrive(queue, chance.choose((b"", b"jobs")), (), chance.choose((0, 2))),
            lambda: QueueRemove(queue, ids or (b"1-0",)),
            lambda: chance.choose((Purge(queue), QueueSet(queue, BURIES_ELSEWHERE))),
            lambda: chance.choose((QueueDelete(queue), QueueSet(queue, SETTINGS[1:2]))),
        )
        maker: Callable[[], Command] = chance.choose(rare if chance.happens(0.2) else looks)
        return maker()
