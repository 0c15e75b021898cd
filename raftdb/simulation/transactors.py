"""Simulated clients of transactions: they read lists, then append to lists if the lists that they read are unchanged.

Together they make a history of list-append transactions (`serializability`). Some watch a key that expires, whose end
must cause a conflict, too; some read within the transaction, at the moment when it is applied (hazards B57, B61).
"""

from raftdb.errors import Conflict, required
from raftdb.machine.batches import MultiGet
from raftdb.machine.editing import Append
from raftdb.machine.operations import Mode, TransactionOperation
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.service import Command
from raftdb.machine.strings import Get, Set
from raftdb.simulation.caller import AnswerToCheck, CallOutcome, Kind, World
from raftdb.simulation.paced import PacedClient
from raftdb.simulation.serializability import Appended, Observed, Outcome, Seen

LISTS = 4
TRANSACTIONS_PER_LIST = 80
"""Transactions before clients change to new lists, because long lists take long to compare."""
READS_MAX = 2
COMMANDS_MAX = 3
SEPARATOR = b"."
LEASE_TTL_MS_MAX = 400
FAILING = CompareAndSet(b"no such key", 1, b"")
"""A command that always fails."""


class Transactions:
    """The transactions of all transactors, and their outcomes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.observed: list[Observed] = []
        self.begun = 0
        self.conflicts = 0

    def key(self) -> bytes:
        """The key of one of the present lists."""
        return b"chain%d-%d" % (self.begun // TRANSACTIONS_PER_LIST, self._world.chance.below(LISTS))


class Transactor(PacedClient):
    """One client, which reads, executes one transaction, and pauses, until it is told to stop."""

    def __init__(
        self,
        world: World,
        transactions: Transactions,
        name: str,
        told: list[AnswerToCheck],
        *,
        with_session: bool,
    ) -> None:
        super().__init__(world, name, told, with_session=with_session)
        self._transactions = transactions
        self._transaction = ""
        self._steps: list[Appended | Seen] = []
        self._watched: list[tuple[bytes, int]] = []
        self._watched_at = 0
        self._invoked_us = 0

    def _proceed(self) -> None:
        """Begin the next transaction."""
        transactions, chance = self._transactions, self._world.chance
        transactions.begun += 1
        self._transaction = f"{self.name}-{transactions.begun}"
        self._steps, self._watched, self._watched_at = [], [], 0
        self._invoked_us = self._world.scheduler.now_us
        reads = [Get(transactions.key()) for _ in range(chance.below(READS_MAX + 1))]
        if chance.happens(0.2):
            self._lease(reads)
        else:
            self._read_next(reads)

    def _lease(self, reads: list[Get]) -> None:
        """Set a key that expires, and watch it first: a transaction that is executed after its end must have a
        conflict."""
        key = b"watch-%s" % self.name.encode()
        ttl_ms = 1 + self._world.chance.below(LEASE_TTL_MS_MAX)
        self._ask(Set(key, self._transaction.encode(), ttl_ms), lambda _: self._read_next([Get(key), *reads]))

    def _read_next(self, reads: list[Get]) -> None:
        if not reads:
            self._commit()
            return
        command = reads[0]
        self._ask(command, lambda ending: self._have_read(command, ending, reads[1:]))

    def _have_read(self, command: Get, ending: CallOutcome, rest: list[Get]) -> None:
        if ending.kind is not Kind.ANSWERED:
            self._pause()
            return
        revision = required(ending.revision, "revision of what was read")
        if command.key not in dict(self._watched):
            self._watched.append((command.key, revision))
            self._watched_at = min(self._watched_at, ending.index) or ending.index
            if command.key.startswith(b"chain"):
                self._steps.append(Seen(command.key, elements_of(ending.value)))
        self._read_next(rest)

    def _commit(self) -> None:
        chance, transactions = self._world.chance, self._transactions
        commands: list[Command] = []
        for place in range(1 + chance.below(COMMANDS_MAX)):
            key = transactions.key()
            if chance.happens(0.1):
                commands.append(FAILING)
            elif chance.happens(0.3):
                commands.append(MultiGet((key,)))
            else:
                element = f"{self._transaction}-{place}".encode()
                commands.append(Append(key, element + SEPARATOR))
                self._steps.append(Appended(key, element))
        mode = Mode.ATOMIC if chance.happens(0.5) else Mode.REDIS
        transaction = TransactionOperation(
            tuple(commands), tuple(self._watched), mode, watched_at=self._watched_at
        )
        self._ask(transaction, lambda ending: self._ended(transaction, ending))

    def _ended(self, transaction: TransactionOperation, ending: CallOutcome) -> None:
        steps: tuple[Appended | Seen, ...] = tuple(step for step in self._steps if isinstance(step, Appended))
        outcome = Outcome.NOT_EXECUTED
        if ending.kind is Kind.ANSWERED:
            outcome, steps = Outcome.OK, self._steps_told(transaction, ending)
        elif ending.kind is Kind.UNKNOWN:
            outcome = Outcome.UNKNOWN
        elif ending.kind is Kind.FAILED:
            self._transactions.conflicts += isinstance(ending.error, Conflict)
        observed = Observed(self._transaction, self._invoked_us, ending.ended_us, outcome, steps)
        self._transactions.observed.append(observed)
        self._pause()

    def _steps_told(
        self, transaction: TransactionOperation, ending: CallOutcome
    ) -> tuple[Appended | Seen, ...]:
        """The earlier reads, then each command in order, with the lists that it has read."""
        steps = [step for step in self._steps if isinstance(step, Seen)]
        told: list[Appended | Seen] = list(steps)
        for command, result in zip(transaction.commands, ending.value, strict=True):
            if isinstance(command, Append):
                told.append(Appended(command.key, command.value.removesuffix(SEPARATOR)))
            elif isinstance(command, MultiGet):
                told.append(Seen(command.keys[0], elements_of(result[0])))
        return tuple(told)


def elements_of(value: bytes | None) -> tuple[bytes, ...]:
    """The elements of a stored list."""
    return tuple((value or b"").split(SEPARATOR)[:-1])
