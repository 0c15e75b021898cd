"""The types that describe a service, its keys and its commands.

A service is a module with one `Service` at its end. For each of its commands the module has a frozen dataclass, which
is replicated; a handler, which executes it; and a `CommandType`, which declares the rest: the number under which it
stands in the log, what it costs, and the names by which people call it. Everything that depends on the commands is made
from the list of services (`raftdb.machine.services`): their form in the log, the table of names, the sweeper, the
costs.

What is declared here is made once and compared by nobody; each method less is time less for every start of a client.

A command holds everything that its effect depends on besides the state, and nothing that a replica would have to look
up, guess or draw (hazard B63).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from raftdb.limits import KEY_BYTES_MAX
from raftdb.machine.deadlines import DeadlineIndex
from raftdb.machine.inventory import Inventory
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Reply, Result, Told
from raftdb.machine.sweeping import Forget
from raftdb.machine.waiting import Waiting


class Command:
    """Base of all commands. Their fields are of types that `raftdb.machine.forms` can put into bytes."""

    __slots__ = ()


class Query:
    """Base of all reads that are never in the log and have no name: frontends use them to ask a node."""

    __slots__ = ()


class ServiceOperation:
    """Base of the operations of a service that have entries of their own and are no commands: they are never part of a
    transaction."""

    __slots__ = ()


class EntryPlace(NamedTuple):
    """The place of the entry that is being applied."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int


ReadHandler: TypeAlias = Callable[[KeyValueView, Any], Result]
"""Answers a command, or a query, from a view of the state. Raises `ReplyError` where it fails."""

WriteHandler: TypeAlias = Callable[[Layer, Any, int], Result]
"""Executes a command as part of the entry at an index, which is the revision of what it changes. It checks first and
writes last, and raises `ReplyError` where it fails: the texts are replicated rules and are never changed."""


Guard: TypeAlias = Callable[[KeyValueView, Any], None]
"""Raises `Fenced` if what a command names as held, a lock or a delivery, is over."""


Beside: TypeAlias = Callable[[Any, Any, Callable[[bytes], int]], object]
"""Makes, of a command and the value that it has read, the value with that which no state knows: how many requests the
leader holds that wait for a change of a name."""


class Access(StrEnum):
    """Whether a command can change the state: reads need no log entry."""

    READ = "read"
    WRITE = "write"


class ReplyKind(StrEnum):
    """The type of a successful reply: `str` status, `bytes` string, `int` integer, `list` array (None is nil)."""

    STATUS = "status"
    STRING = "string"
    INTEGER = "integer"
    ARRAY = "array"


class Arity(NamedTuple):
    """How many arguments a command takes, its name not counted. `maximum` None: any number; beyond the minimum, a
    multiple of `step`."""

    minimum: int
    maximum: int | None
    step: int = 1

    def accepts(self, count: int) -> bool:
        """Return whether `count` arguments are right."""
        return (
            self.minimum <= count
            and (self.maximum is None or count <= self.maximum)
            and (count - self.minimum) % self.step == 0
        )


class Example(NamedTuple):
    """One line as typed into the shell, and the reply as the shell prints it. The tests run all of them."""

    line: str
    reply: str


NO_ARGUMENTS = slice(0, 0)
ALL_ARGUMENTS = slice(0, None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CommandSpec:
    """One row of the table of commands: a name, and how it is called.

    `name` is lower case. `syntax` starts with it; words in capitals stand for arguments, `...` for more of
    the same. `examples` is a story: its lines run in order on an empty database. `keys` and `values` pick
    those arguments out of the argument list; what other services name stands where a key does, and may have to be
    shorter (`key_bytes_max`). `dangerous` commands touch more than the keys they name: the shell asks
    before it sends one. `build` turns arguments of the right number and size into the command; it may raise
    `RequestRefused`. The command type and the service fill in the fields below it (`Service.rows`).
    """

    name: str
    syntax: str
    summary: str
    examples: tuple[Example, ...]
    arity: Arity
    reply: ReplyKind
    build: Callable[[Sequence[bytes]], Command]
    keys: slice = field(default_factory=lambda: slice(0, 1))
    values: slice = field(default_factory=lambda: slice(1, None))
    key_bytes_max: int = KEY_BYTES_MAX
    dangerous: bool = False

    command: type[Command] = Command
    access: Access = Access.READ
    grows: bool = False
    group: str = ""

    @property
    def key_positions(self) -> tuple[int, int, int]:
        """First key, last key and step as in Redis' COMMAND INFO: counted from 1, last -1 is the end, zero: none."""
        if self.keys.stop == 0:
            return (0, 0, 0)
        last = -1 if self.keys.stop is None else self.keys.stop
        step = self.keys.step or 1
        return (self.keys.start + 1, last, step)


def as_it_is(result: Told) -> object:
    """Shows the value of a result as it is."""
    return result.value


def as_done(result: Told) -> object:
    """Shows that something was done which has nothing to show."""
    return "OK"


def as_text(result: Told) -> object:
    """Shows a value that may be missing as an empty string then."""
    return b"" if result.value is None else result.value


def as_flag(result: Told) -> object:
    """Shows whether something was done as 1 or 0."""
    return int(result.value is True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Keeping:
    """How the result of a command is kept for a session, if that is shorter than the result: `shortened` makes that of
    it, and `completed(view, command, kept)` the result of that again, from the state as it is by then."""

    shortened: Callable[[Result], Result]
    completed: Callable[[KeyValueView, Any, Result], Result]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CommandType:
    """One type of command. It has one handler, `read` or `write`; `access` says which.

    `number` is its number in the log, from 1 and below 64: never reuse one. `grows`: it may make the state larger, so
    it is refused when space runs out. `log_name` is how the log shows one that people cannot call by a name, because
    only one frontend builds it. `keys_named` counts the keys that a command names, if they may be other than one;
    `arguments` gives its arguments, if they are not its fields in order. `shown` is how the shell and HTTP show its
    results, which themselves say only what happened. `waiting`: its sender may wait until it is served. `keeping`: how
    a session keeps its results, if not as they are. `beside`: what the leader adds to what it has read.

    `guard` is for a command that names something its caller holds. A transaction asks the guards of all its commands
    before the first one is executed, in every mode, and refuses the whole if one of them objects: else a worker that
    slept beyond its time would commit its results beside those of its successor.
    """

    type: type[Command]
    number: int
    names: tuple[CommandSpec, ...] = ()
    log_name: str = ""
    read: ReadHandler | None = None
    write: WriteHandler | None = None
    grows: bool = False
    keys_named: Callable[[Any], int] | None = None
    guard: Guard | None = None
    arguments: Callable[[Any], list[bytes]] | None = None
    shown: Callable[[Told], object] = as_it_is
    waiting: Waiting | None = None
    keeping: Keeping | None = None
    beside: Beside | None = None

    @property
    def access(self) -> Access:
        """Whether it can change the state."""
        return Access.READ if self.write is None else Access.WRITE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OperationType:
    """One type of `ServiceOperation`: its number in the log, from 64, and its handler."""

    type: type[ServiceOperation]
    number: int
    run: Callable[[Layer, Any, EntryPlace], Reply]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Ending:
    """The things of a service that end at times of the cluster clock: the sweeper ends those that are due, a bounded
    number at a time.

    `end(layer, time_ms, name, index)` ends one as part of the entry at `index`, and returns its cost. An entry ends at
    most `count_max`, and none after it has cost `cost_max`. Both are replicated rules.
    """

    index: DeadlineIndex
    end: Callable[[Layer, int, bytes, int], int]
    count_max: int
    cost_max: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Service:
    """One service. `heading` stands over its commands in help; `prefixes` are the first bytes of the keys of the state
    that are its own; `forget` removes what it keeps beside a key that was abandoned (`raftdb.machine.sweeping`);
    `inventory` counts what it has in a state, and checks it."""

    heading: str
    prefixes: bytes = b""
    commands: tuple[CommandType, ...] = ()
    operations: tuple[OperationType, ...] = ()
    queries: Mapping[type[Query], ReadHandler] = field(default_factory=dict)
    ending: Ending | None = None
    forget: Forget | None = None
    inventory: Inventory | None = None

    def rows(self) -> list[CommandSpec]:
        """The service's rows of the table of commands, complete."""
        return [
            replace(
                row,
                command=command.type,
                access=command.access,
                grows=command.grows,
                group=self.heading,
            )
            for command in self.commands
            for row in command.names
        ]
