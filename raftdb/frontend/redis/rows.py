"""A row of the table of Redis commands: the command's name and form, and how it is carried out.

A command is either *built*, from its arguments to an operation of the machine and from the result back to a reply; or
it is *run* here, by the state of its connection, because it is about the connection or about this node.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.errors import SYNTAX, CommandRefused
from raftdb.machine.operations import ClientOperation
from raftdb.machine.reply import Told
from raftdb.machine.service import Command, Query

ReplyOf: TypeAlias = Callable[[Told], object]
"""Turns a result into the reply that `raftdb.wire.resp_replies` encodes."""

Call: TypeAlias = tuple[ClientOperation | Query, ReplyOf]
"""An operation for the node, and the function that turns its result into a reply."""


class WaitingCall(NamedTuple):
    """A command that says for how long it may be held until it can be served, 0 to be tried once. It cannot be part of
    a transaction."""

    command: Command
    reply_of: ReplyOf
    wait_ms: int


Arguments: TypeAlias = list[bytes]
"""A whole request, which begins with the name of the command."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One command. `arity` is as in Redis: it includes the name, and a negative one is a minimum. `keys` are the places
    of its keys: first, last (below 0: from the end) and step; (0, 0, 0) for none.

    Exactly one of `build` and `run` is set; both raise `CommandRefused`. `run` returns the reply, or a call whose
    answer becomes the reply.

    `is_immediate`: it is run at once even after MULTI. `subcommands` has rows by the second word. `waits_for_reads`,
    `waits_for_writes`: it is begun once the earlier reads, or writes, of the connection are answered. Writes wait for
    reads; reads that cannot be part of the log wait for writes; commands that change the form of replies wait for all.
    """

    name: str
    arity: int
    flags: tuple[str, ...]
    group: str
    since: str
    summary: str
    keys: tuple[int, int, int] = (0, 0, 0)
    build: Callable[[Arguments], Call | WaitingCall] | None = None
    run: Callable[[ClientState, Arguments], Any] | None = None
    is_immediate: bool = False
    subcommands: "tuple[Row, ...]" = ()
    waits_for_reads: bool = False
    waits_for_writes: bool = False
    is_wide_read: bool = field(default=False, init=False)
    """Whether it reads, and has no keys of its own."""

    def __post_init__(self) -> None:
        """Find out from the flags whether it writes; a read without keys of its own cannot be part of the log."""
        writes = "write" in self.flags
        object.__setattr__(self, "waits_for_reads", self.waits_for_reads or writes)
        is_wide_read = "readonly" in self.flags and not self.keys[0]
        object.__setattr__(self, "is_wide_read", is_wide_read)
        object.__setattr__(self, "waits_for_writes", self.waits_for_writes or is_wide_read)

    def accepts(self, count: int) -> bool:
        """Return whether `count` arguments, the name included, fit the arity."""
        return count == self.arity if self.arity >= 0 else count >= -self.arity


def built(
    group: str,
    name: str,
    arity: int,
    flags: tuple[str, ...],
    since: str,
    summary: str,
    build: Callable[[Arguments], Call | WaitingCall],
    keys: tuple[int, int, int] = (1, 1, 1),
) -> Row:
    """The row of a command that the node executes."""
    return Row(
        name=name,
        arity=arity,
        flags=flags,
        group=group,
        since=since,
        summary=summary,
        keys=keys,
        build=build,
    )


def run_here(
    group: str,
    name: str,
    arity: int,
    flags: tuple[str, ...],
    since: str,
    summary: str,
    run: Callable[[ClientState, Arguments], Any],
    **more: Any,
) -> Row:
    """The row of a command that is begun with the state of its client."""
    return Row(
        name=name, arity=arity, flags=flags, group=group, since=since, summary=summary, run=run, **more
    )


def only_subcommands(client: ClientState, given: Arguments) -> object:
    """Never run, because a command that has only subcommands has too few arguments without one."""
    raise CommandRefused(SYNTAX)


ONE_KEY = (1, 1, 1)
ALL_KEYS = (1, -1, 1)
EVERY_OTHER_KEY = (1, -1, 2)
TWO_KEYS = (1, 2, 1)

READ = ("readonly", "fast")
READ_SLOW = ("readonly",)
WRITE = ("write", "denyoom", "fast")
WRITE_SLOW = ("write", "denyoom")
SHRINK = ("write", "fast")
LOCAL = ("loading", "stale", "fast")
SESSION = ("noscript", "loading", "stale", "fast")
