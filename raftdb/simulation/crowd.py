"""All simulated clients of a run, plain ones, those of transactions and those of queues, with sessions and without; and
the checks of all their answers.

* Every answer is the one that the committed log gives to the request (`answers`, by the model).
* The histories of single keys have a linear order (`linearizability`), and those of transactions a serial one
  (`serializability`); these checks do not use the log.
* Every message is in one state, or has left its queue in one way (`ledger`).
* Locks keep their promises at every entry (`lock_witness`), and keys that are bound to sessions end with these
  (`keepers`).
* Every request that a leader holds is answered (`holding`), in a healthy cluster with what was put for it.
* Those who follow changes are told each, once and in order (`watch_witness`).
"""

from collections.abc import Sequence

from raftdb.core.model import Entry, EntryKind
from raftdb.errors import InvariantBroken
from raftdb.machine import entries as wire_operations
from raftdb.machine.batches import MultiSet
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.operations import SessionOperation
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.records import read_id
from raftdb.machine.strings import Get, Set
from raftdb.simulation.answers import check_answers
from raftdb.simulation.caller import World
from raftdb.simulation.clients import Client, History
from raftdb.simulation.keepers import BindingWitness, Keeper
from raftdb.simulation.ledger import Ledger
from raftdb.simulation.linearizability import Finding, Operation, Verdict, check_history
from raftdb.simulation.lock_witness import LockWitness
from raftdb.simulation.lockers import Locker
from raftdb.simulation.paced import PacedClient
from raftdb.simulation.scheduler import MILLISECOND
from raftdb.simulation.serializability import check_serializable
from raftdb.simulation.transactors import Transactions, Transactor
from raftdb.simulation.waiters import Waiter
from raftdb.simulation.watch_witness import WatchWitness
from raftdb.simulation.watchers import observers_of
from raftdb.simulation.workers import Worker

UNIQUE = (Set, Append, MultiSet)
"""The commands with values that were never used before."""
PROBES = 6
"""The number of requests, sent at the same time, that a healthy cluster must answer."""
SEARCH_STEPS_MAX = 400_000
"""Steps of the linearizability search for one key."""
BEGIN_US = 100 * MILLISECOND
"""All clients have begun after this time."""


class Crowd:
    """The clients of a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.history = History(world)
        self.transactions = Transactions(world)
        options = world.options

        def has_session() -> bool:
            return world.chance.happens(options.session_share)

        self._clients = [
            Client(world, self.history, f"c{number}", with_session=has_session())
            for number in range(options.clients)
        ]
        told = self.history.told
        self._transactors = [
            Transactor(world, self.transactions, f"t{number}", told, with_session=has_session())
            for number in range(options.transactors)
        ]

        self.workers = [
            Worker(world, f"w{number}", told, with_session=has_session()) for number in range(options.workers)
        ]
        self.ledger = Ledger()
        self.lockers = [
            Locker(world, f"l{number}", told, with_session=has_session()) for number in range(options.lockers)
        ]
        self.lock_witness = LockWitness()
        self.observers = observers_of(world, options.observers)
        self.watch_witness = WatchWitness()
        self._probes = 0
        self._keepers = [Keeper(world, f"k{number}", told) for number in range(options.keepers)]
        self.binding_witness = BindingWitness()
        self.waiters = [
            Waiter(world, f"h{number}", told, with_session=has_session()) for number in range(options.waiters)
        ]

    @property
    def _everybody(self) -> Sequence[PacedClient]:
        served = (*self.workers, *self.lockers, *self._keepers, *self.waiters)
        return (*self._clients, *self._transactors, *served)

    def _watch(self, log: Sequence[Entry]) -> None:
        """Let those who follow changes get the rest of them, and look at what they were told."""
        for observer in self.observers:
            observer.drain()
        self.watch_witness.follow(log, self.observers)

    @property
    def is_idle(self) -> bool:
        """True while no client waits for an answer."""
        return all(client.is_idle for client in self._everybody)

    def begin(self) -> None:
        """Let all clients begin."""
        for client in self._everybody:
            self._world.scheduler.after(self._world.chance.below(BEGIN_US), client.begin)
        for observer in self.observers:
            observer.begin()

    def stop(self) -> None:
        """Let no client send new requests."""
        for client in self._everybody:
            client.is_stopping = True
        for observer in self.observers:
            observer.is_stopping = True

    def probe(self) -> int:
        """Send reads and writes at the same time; returns what `answered` must be in the end."""
        probing = self._clients[:PROBES]
        for number, client in enumerate(probing):
            client.ask(IncrementBy(b"probe", 1) if number % 2 else Get(b"probe"), patient=True)
        self._probes += 1
        pairs = len(self.waiters) // 2
        for number, waiter in enumerate(self.waiters[: 2 * pairs]):
            queue = b"probe-%d-%d" % (self._probes, number // 2)
            waiter.probe(queue, puts=number % 2 == 1)
        for waiter in self.waiters[2 * pairs :]:
            waiter.probe_in_vain(b"probe-%d" % self._probes)
        return self.answered + len(probing) + len(self.waiters)

    @property
    def answered(self) -> int:
        """The requests that were answered, of plain clients, and of others that were probed."""
        probed = sum(waiter.probed for waiter in self.waiters)
        return self.history.reads + self.history.acknowledged_writes + probed

    def locks_counted(self) -> dict[str, int]:
        """What the clients of locks did, as far as the log and they themselves know."""
        if not self.lockers and not self.waiters:
            return {}
        witness = self.lock_witness
        return {
            "grants": witness.grants,
            "longest_line": witness.waits_max,
            "deadlocks_refused": sum(locker.deadlocks for locker in self.lockers),
            "fenced_writes": witness.fenced_writes,
            "fenced_writes_refused": sum(locker.fenced for locker in self.lockers),
        }

    def check(self, log: Sequence[Entry]) -> list[Finding]:
        """Raise `InvariantBroken` if the answers do not fit the committed `log`, or each other. Returns the findings of
        the search for linear orders, which may be without a verdict."""
        check_answers(self.history.told, log)
        self._check_queues(log)
        if self.lockers or self.waiters:
            self.lock_witness.follow(log)
            self.lock_witness.check_told([token for waiter in self.waiters for token in waiter.tokens])
        if self._keepers:
            self.binding_witness.follow(log)
        if self.observers:
            self._watch(log)
        problems = check_serializable(self.transactions.observed)
        if problems:
            raise InvariantBroken(f"not serializable: {problems[0]}")
        findings = check_history(self._settled_history(log), steps_max=SEARCH_STEPS_MAX)
        for finding in findings:
            if finding.verdict is Verdict.VIOLATION:
                raise InvariantBroken(
                    f"not linearizable: {finding.key!r}, first unexplained {finding.unexplained}"
                )
        return findings

    def _check_queues(self, log: Sequence[Entry]) -> None:
        """Follow every message, if there are any; each that a client was told of must have been put."""
        if not self.workers and not self.waiters:
            return
        self.ledger.follow(log)
        for answer in self.history.told:
            operation = answer.operation
            if isinstance(operation, SessionOperation):
                operation = operation.operation
            if isinstance(operation, Enqueue) and isinstance(answer.reply, list):
                message_id = read_id(answer.reply[0])
                if message_id not in self.ledger.ids:
                    raise InvariantBroken(f"an acknowledged message was never put: {answer}")

    def _settled_history(self, log: Sequence[Entry]) -> list[Operation]:
        """The history without writes of unknown outcome that are not in the log.

        Only writes with a unique value can be found in the log. Leaving them out makes the search shorter, and no less
        strict, because an answer that saw such a write cannot be explained without it.
        """
        committed = set()
        for entry in log:
            if entry.kind is EntryKind.COMMAND:
                _, found = wire_operations.decode(entry.data)
                committed.add(found.operation if isinstance(found, SessionOperation) else found)
        return [
            operation
            for operation in self.history.operations
            if operation.returned is not None
            or not isinstance(operation.command, UNIQUE)
            or operation.command in committed
        ]
