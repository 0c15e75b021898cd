"""How a type of command says that it can wait until it is served.

Waiting is no part of a command, and of no digest: who sends `receive jobs WAIT 20` sends a `receive`, and says beside
it for how long it may be held. The node that leads holds it (`raftdb.node.waiting`); the machine does not know of it.
What the leader needs for that is declared here, in one of two ways:

* `TurnWaiting`: the command takes what is there, as from a queue. The leader keeps the line of those that wait. It
  proposes a command only when something is there for it, so waiting leaves no trace in the log.
* `PlaceWaiting`: the line is part of the state, as that of a lock. The command is proposed at once, as a
  `WaitingOperation`, and takes a place (`Layer.waits` is true while it runs); the grant is a change that a later entry
  makes. Who does not wait any more gives the place up, by an entry.

Both name a change, as in `Layer.note_change`: the leader looks again only when the machine has noted it. A result whose
value is None or an empty list says that the command has got nothing yet (`is_nothing`). A session does not keep such a
reply of a `WaitingOperation`, so the same sequence can be tried again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from raftdb.machine.layer import KeyValueView
from raftdb.machine.reply import Result

if TYPE_CHECKING:
    from raftdb.machine.service import Command


class Asker(NamedTuple):
    """Who sends a command: a user, empty for nobody, in a session of this name, None without one."""

    user: bytes
    session: bytes | None


def is_nothing(value: object) -> bool:
    """Return whether the value of a result of a command that can wait says that it has got nothing."""
    return value is None or value == []


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TurnWaiting:
    """A command that takes what is there, in the order in which those that wait have come.

    `line(command)` is the name of what it waits for, the same for all commands that wait for the same thing; the
    machine notes it as changed whenever there may be more to take, also because time has passed. `supply(view,
    command)` says how many units could be taken now, 0 if none, at a bounded cost; it may count no further than 1,000.
    `demand(command)` is the most units that the command takes. `nothing` is the value of a result that has none.
    `flags` are its options without a value, in capitals.
    """

    line: Callable[[Any], bytes]
    supply: Callable[[KeyValueView, Any], int]
    demand: Callable[[Any], int]
    nothing: object = None
    flags: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PlaceWaiting:
    """A command that takes a place in a line of the state.

    `place(command, asker)` names the place: that of one owner in one line, and of no other, so that only those are
    woken that have got something. The machine notes it as changed when it is granted, refused or removed. `outcome(
    view, command, asker)` is the result if it is granted, None while it waits; it raises `ReplyError` if there is no
    such place any more. `give_up(command, asker)` is the command that gives the place up if it still waits, and
    answers None then; if it is granted already, it changes nothing and answers the grant. `places(view, after,
    limit)` lists the names above `after` of up to `limit` places that wait, in order, each with the command that gives
    it up: a new leader finds those of clients that do not ask again.
    """

    place: Callable[[Any, Asker], bytes]
    outcome: Callable[[KeyValueView, Any, Asker], Result | None]
    give_up: Callable[[Any, Asker], "Command"]
    places: Callable[[KeyValueView, bytes, int], list[tuple[bytes, "Command"]]]
    flags: tuple[bytes, ...] = ()


Waiting: TypeAlias = TurnWaiting | PlaceWaiting
