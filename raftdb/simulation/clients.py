"""Simulated clients, and the history of their requests and answers.

`caller` sends the requests. Values are unique, so that an answer shows which write it saw. Keys that expire have names
of their own (`LEASES`): the search for a linear order does not know time, so answers about them are only compared with
the model.
"""

from collections.abc import Callable

from raftdb.errors import required
from raftdb.machine.batches import Exists, MultiGet, MultiSet
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.expiry import ExpireAfter, RemoveExpiry, TimeToLive
from raftdb.machine.keys import Clear
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.strings import KEEP_TTL, Condition, Delete, Get, GetSet, Set, Strlen
from raftdb.simulation.caller import WRITES, AnswerToCheck, CallOutcome, Kind, World
from raftdb.simulation.linearizability import Failed, Operation
from raftdb.simulation.paced import PacedClient
from raftdb.simulation.scheduler import SECOND

PATIENT_US = 5 * SECOND
"""How long a client waits when there are no faults."""
OPERATIONS_PER_KEY = 60
"""The operations before clients change to new keys, because long histories of one key take long to check."""
LEASES = b"lease"
"""Names of keys that may expire begin with this."""
LEASE_TTL_MS_MAX = 500
FLUSH_SHARE = 0.02
"""The share of requests that remove all keys, if the seed has such requests."""
MODELLED_SHARE = 0.3
"""The share of requests about keys that expire, or about many keys at once, if the seed has such requests."""


class History:
    """The requests and answers of all clients, in virtual time; and the choice of the next request.

    `told` has every answer, for the model; `operations` those that the search for a linear order can check.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.operations: list[Operation] = []
        self.told: list[AnswerToCheck] = []
        self.begun = 0
        self.acknowledged_writes = 0
        self.reads = 0
        self.unknown = 0
        self.refused = 0

    def next_command(self, client: str) -> Command:
        """A random command, with values that were never used before."""
        chance = self._world.chance
        self.begun += 1
        generation = self.begun // OPERATIONS_PER_KEY
        token = b"%s-%d." % (client.encode(), self.begun)
        if self._world.options.flushes and chance.happens(FLUSH_SHARE):
            return Clear()
        if self._world.options.expires and chance.happens(MODELLED_SHARE):
            return self._modelled(generation, token)
        keys = [b"%s%d" % (name, generation) for name in (b"text", b"list", b"number")]
        text, listed, number = keys
        key = chance.choose((text, text, listed))
        readers: tuple[Callable[[], Command], ...] = (
            lambda: Get(key),
            lambda: Get(chance.choose(keys)),
            lambda: Get(number),
            lambda: Strlen(listed),
            lambda: Exists((chance.choose(keys),)),
            lambda: MultiGet(tuple(keys)),
        )
        writers: tuple[Callable[[], Command], ...] = (
            lambda: Set(text, token),
            lambda: Set(key, token),
            lambda: Append(listed, token),
            lambda: Append(listed, token),
            lambda: IncrementBy(number, 1 + chance.below(9)),
            lambda: IncrementBy(chance.choose(keys), -1),
            lambda: Delete(chance.choose(keys)),
            lambda: MultiSet(((text, token), (listed, token))),
        )
        makers = readers if chance.happens(self._world.options.read_share) else writers
        maker: Callable[[], Command] = chance.choose(makers)
        return maker()

    def _modelled(self, generation: int, token: bytes) -> Command:
        """A command about a few keys that come and go by the clock, or about all of them at once."""
        chance = self._world.chance
        key = b"%s%d" % (LEASES, generation * 3 + chance.below(3))
        ttl_ms = chance.below(LEASE_TTL_MS_MAX)
        makers: tuple[Callable[[], Command], ...] = (
            lambda: Set(key, token, 1 + ttl_ms),
            lambda: Set(key, token, 1 + ttl_ms, Condition.IF_MISSING),
            lambda: Set(key, token, KEEP_TTL, Condition.IF_PRESENT),
            lambda: Append(key, token),
            lambda: IncrementBy(key, 1),
            lambda: GetSet(key, token),
            lambda: CompareAndSet(key, 0, token),
            lambda: ExpireAfter(key, ttl_ms - 20),
            lambda: RemoveExpiry(key),
            lambda: Delete(key),
            lambda: Get(key),
            lambda: TimeToLive(key),
            lambda: Exists((key, key)),
            lambda: Keys(LEASES),
            lambda: Scan(LEASES, key, 2),
            DatabaseSize,
        )
        maker: Callable[[], Command] = chance.choose(makers)
        return maker()

    def ended(self, client: str, command: Command, ending: CallOutcome) -> None:
        """Note the outcome of a client's request."""
        if ending.kind is Kind.NOT_SENT:
            self.refused += 1
            return
        if not is_modelled_only(command):
            self.operations.append(_operation(client, command, ending))
        if ending.kind is Kind.UNKNOWN:
            self.unknown += 1
        elif isinstance(command, WRITES):
            self.acknowledged_writes += 1
        else:
            self.reads += 1


def is_modelled_only(command: Command) -> bool:
    """True if the search for a linear order cannot check the command, or the key may expire."""
    if isinstance(command, Keys | Scan | DatabaseSize):
        return True
    if isinstance(command, Exists):
        return command.keys[0].startswith(LEASES)
    key = getattr(command, "key", b"")
    return isinstance(key, bytes) and key.startswith(LEASES)


def _operation(client: str, command: Command, ending: CallOutcome) -> Operation:
    match ending.kind:
        case Kind.UNKNOWN:
            return Operation(client, command, ending.began_us, None)
        case Kind.FAILED:
            error = required(ending.error, "error of what failed")
            return Operation(client, command, ending.began_us, ending.ended_us, Failed(error.message))
    return Operation(client, command, ending.began_us, ending.ended_us, ending.value)


class Client(PacedClient):
    """A client of single keys, whose requests are the history's."""

    def __init__(self, world: World, history: History, name: str, *, with_session: bool) -> None:
        super().__init__(world, name, history.told, with_session=with_session)
        self._history = history

    def _proceed(self) -> None:
        self.ask(self._history.next_command(self.name))

    def ask(self, command: Command, *, patient: bool = False) -> None:
        """Send this request; its outcome goes into the history."""
        timeout_us = max(self._world.options.client_timeout_us, PATIENT_US) if patient else None
        self._ask(command, lambda ending: self._ended(command, ending), timeout_us=timeout_us)

    def _ended(self, command: Command, ending: CallOutcome) -> None:
        self._history.ended(self.name, command, ending)
        self._pause()
