"""What a row of the table of commands says; the rows themselves are in `raftdb.commands.table`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from raftdb.commands.model import Command


class Access(StrEnum):
    """Whether a command can change the state: reads need no log entry."""

    READ = "read"
    WRITE = "write"


class Group(StrEnum):
    """The headings of help, in the order in which they are shown."""

    VALUES = "values"
    COUNTERS = "counters"
    SEVERAL = "several keys"
    EXPIRY = "expiry"
    SCANNING = "scanning"
    TRANSACTIONS = "transactions"
    CONNECTION = "connection"


class ReplyKind(StrEnum):
    """The type of a successful reply: `str` status, `bytes` string, `int` integer, `list` array (None is nil)."""

    STATUS = "status"
    STRING = "string"
    INTEGER = "integer"
    ARRAY = "array"


class Arity(NamedTuple):
    """How many arguments a command takes, its name not counted. `maximum` None: any number; a multiple of `step`."""

    minimum: int
    maximum: int | None
    step: int = 1

    def accepts(self, count: int) -> bool:
        """Return whether `count` arguments are right."""
        return (
            self.minimum <= count
            and (self.maximum is None or count <= self.maximum)
            and count % self.step == 0
        )


class Example(NamedTuple):
    """One line as typed into the shell, and the reply as the shell prints it. The tests run all of them."""

    line: str
    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """One row of the table.

    `name` is lower case. `syntax` starts with it; words in capitals stand for arguments, `...` for more of
    the same. `examples` is a story: its lines run in order on an empty database. `keys` and `values` pick
    those arguments out of the argument list. `grows`: it may make the state larger, so it is refused when space
    runs out. `dangerous` commands touch more than the keys they name: the
    shell asks before it sends one. `build` turns arguments of right number and size into the command; it may
    raise `RequestRefused`.
    """

    name: str
    syntax: str
    group: Group
    summary: str
    examples: tuple[Example, ...]
    arity: Arity
    access: Access
    reply: ReplyKind
    command: type[Command]
    build: Callable[[Sequence[bytes]], Command]
    keys: slice = field(default_factory=lambda: slice(0, 1))
    values: slice = field(default_factory=lambda: slice(1, None))
    grows: bool = False
    dangerous: bool = False

    @property
    def key_positions(self) -> tuple[int, int, int]:
        """First key, last key and step as in Redis' COMMAND INFO: counted from 1, last -1 is the end, zero: none."""
        if self.keys.stop == 0:
            return (0, 0, 0)
        last = -1 if self.keys.stop is None else self.keys.stop
        step = self.keys.step or 1
        return (self.keys.start + 1, last, step)
