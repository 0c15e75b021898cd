"""What a transaction at the prompt lets one do when: a table of states, and what waits to be carried out. Pure.

There are two kinds. `begin ... commit` is for people: reads are answered at once and remembered, writes wait.
`multi ... exec` has Redis' form: everything waits. A multi is *doomed* by a command that could not be queued: its
exec refuses, and nothing runs. Errors in a word itself (`multi` in a multi) end nothing.

Whoever carries out a transaction asks `step` what a line means, does that, and then says so with `done`, or with
`failed` if it could not. What was read and written since `begin` is kept by the client's own transaction, and nowhere
else; what was queued since `multi` is kept here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from cli.line.words import TRANSACTIONS, WORDS, ShellCommand
from raftdb.commands.spec import Access, CommandSpec, lookup, parse
from raftdb.errors import RequestRefused, Unavailable, required
from raftdb.limits import CEILING, COMMAND_BYTES_CEILING

if TYPE_CHECKING:
    from raftdb.client.sync_transaction import Transaction

QUEUE_BYTES_MAX = COMMAND_BYTES_CEILING
"""Most bytes of names and arguments that wait for an exec: no node would take more."""
WHOLE_RANGES = frozenset({"keys", "scan", "dbsize"})
"""Reads of more than the keys they name. A key that somebody adds in between has no revision that was read, so
commit could not tell that the answer is no longer true."""


class State(Enum):
    """Which transaction is open."""

    IDLE = "idle"
    BEGIN = "begin"
    MULTI = "multi"
    DOOMED = "doomed"


class Action(Enum):
    """What is to be done with a line."""

    RUN = "run it now, by itself"
    BEGIN = "open a transaction of reads and writes"
    READ = "answer it now, and remember what was read"
    BUFFER = "keep it for commit"
    COMMIT = "carry out what was kept"
    ROLLBACK = "forget what was kept"
    MULTI = "open a queue"
    QUEUE = "keep it for exec"
    PASS = "say that it is queued, although exec will refuse"
    EXEC = "carry out the queue"
    ABORT = "refuse to carry it out"
    DISCARD = "forget the queue"
    WATCH = "remember how keys are"
    UNWATCH = "forget watched keys"
    SHOW = "tell what is kept"


@dataclass(frozen=True, slots=True)
class OutOfPlace:
    """A line makes no sense in a state: why, and what would."""

    message: str
    hint: str


class Input(Enum):
    """What a line is to a transaction: one of the words, or a command of the database of some kind."""

    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SHOW = "show"
    MULTI = "multi"
    EXEC = "exec"
    DISCARD = "discard"
    WATCH = "watch"
    UNWATCH = "unwatch"
    READ = "a read of the keys it names"
    WRITE = "a write"
    RANGE = "a read of whole ranges"
    OTHER = "a command about no key"


_NO_BEGIN = OutOfPlace("no transaction is open", "begin opens one")
_IS_BEGIN = OutOfPlace("a transaction is open already", "commit carries it out, rollback forgets it")
_NO_MULTI = OutOfPlace("no commands are queued: there was no multi", "multi begins a queue")
_IS_MULTI = OutOfPlace("commands are being queued since multi", "exec runs them, discard forgets them")
_NOT_NESTED = OutOfPlace("multi calls cannot be nested", "exec runs what is queued, discard forgets it")
_WATCH_LATE = OutOfPlace("watch inside multi is not allowed", "watch first, then multi")
_UNWATCH_LATE = OutOfPlace("unwatch inside multi is not allowed", "discard forgets watched keys, too")
_READS_ARE_WATCHED = OutOfPlace(
    "begin watches what it reads: watch belongs to multi", "get the key: commit checks that it is unchanged"
)
_PHANTOMS = OutOfPlace(
    "a transaction cannot read a range of keys: keys that others add meanwhile would go unnoticed",
    "read the keys by name, or scan before begin",
)

_QUEUEING: Mapping[Input, Action | OutOfPlace] = {
    Input.BEGIN: _IS_MULTI,
    Input.COMMIT: _IS_MULTI,
    Input.ROLLBACK: _IS_MULTI,
    Input.SHOW: Action.SHOW,
    Input.MULTI: _NOT_NESTED,
    Input.EXEC: Action.EXEC,
    Input.DISCARD: Action.DISCARD,
    Input.WATCH: _WATCH_LATE,
    Input.UNWATCH: _UNWATCH_LATE,
    Input.READ: Action.QUEUE,
    Input.WRITE: Action.QUEUE,
    Input.RANGE: Action.QUEUE,
    Input.OTHER: Action.QUEUE,
}

TABLE: Mapping[State, Mapping[Input, Action | OutOfPlace]] = {
    State.IDLE: {
        Input.BEGIN: Action.BEGIN,
        Input.COMMIT: _NO_BEGIN,
        Input.ROLLBACK: _NO_BEGIN,
        Input.SHOW: _NO_BEGIN,
        Input.MULTI: Action.MULTI,
        Input.EXEC: _NO_MULTI,
        Input.DISCARD: _NO_MULTI,
        Input.WATCH: Action.WATCH,
        Input.UNWATCH: Action.UNWATCH,
        Input.READ: Action.RUN,
        Input.WRITE: Action.RUN,
        Input.RANGE: Action.RUN,
        Input.OTHER: Action.RUN,
    },
    State.BEGIN: {
        Input.BEGIN: _IS_BEGIN,
        Input.COMMIT: Action.COMMIT,
        Input.ROLLBACK: Action.ROLLBACK,
        Input.SHOW: Action.SHOW,
        Input.MULTI: _IS_BEGIN,
        Input.EXEC: _IS_BEGIN,
        Input.DISCARD: _IS_BEGIN,
        Input.WATCH: _READS_ARE_WATCHED,
        Input.UNWATCH: _READS_ARE_WATCHED,
        Input.READ: Action.READ,
        Input.WRITE: Action.BUFFER,
        Input.RANGE: _PHANTOMS,
        Input.OTHER: Action.RUN,
    },
    State.MULTI: _QUEUEING,
    State.DOOMED: {
        **_QUEUEING,
        Input.EXEC: Action.ABORT,
        Input.READ: Action.PASS,
        Input.WRITE: Action.PASS,
        Input.RANGE: Action.PASS,
        Input.OTHER: Action.PASS,
    },
}
"""What a line means in each state."""

_NEXT: Mapping[Action, State] = {
    Action.BEGIN: State.BEGIN,
    Action.COMMIT: State.IDLE,
    Action.ROLLBACK: State.IDLE,
    Action.MULTI: State.MULTI,
    Action.EXEC: State.IDLE,
    Action.ABORT: State.IDLE,
    Action.DISCARD: State.IDLE,
}
"""The state after an action; the others change none."""


class Queued(NamedTuple):
    """A command that waits for an exec: its name as it was typed, and its arguments."""

    name: str
    arguments: tuple[bytes, ...]


@dataclass(slots=True)
class Transactions:
    """Which transaction is open at a prompt, and what waits in it.

    `begun` is the client's transaction since `begin`. `queued` is what waits since `multi`, and `watched` maps the keys
    that are watched for its exec to the revisions that they had (0: no such key).
    """

    state: State = State.IDLE
    begun: "Transaction[bytes] | None" = None
    is_atomic: bool = False
    queued: list[Queued] = field(default_factory=list)
    queued_bytes: int = 0
    watched: dict[bytes, int] = field(default_factory=dict)

    @property
    def waiting(self) -> Sequence[tuple[str, tuple[bytes, ...]]]:
        """The commands that wait for the end of what is open: names and arguments."""
        return self.queued if self.begun is None else self.begun.commands

    @property
    def seen(self) -> Mapping[bytes, int]:
        """The keys that must stay as they are until then, and the revisions that they had."""
        return self.watched if self.begun is None else self.begun.watched

    @property
    def is_open(self) -> bool:
        """Whether leaving now would forget something."""
        return self.state is not State.IDLE

    @property
    def opened_by(self) -> str:
        """The word that opened what is open."""
        return "begin" if self.state is State.BEGIN else "multi"

    def step(self, name: str, arguments: Sequence[bytes]) -> Action:
        """What to do with a line; what waits for an exec is kept.

        Raises `RequestRefused` for what makes no sense. A command that is refused while commands are being queued
        dooms them.
        """
        word = WORDS.get(name.lower())
        if word is not None and word.heading == TRANSACTIONS:
            return self._word(word, arguments)
        try:
            parse(name, arguments, limits=CEILING)
            spec = required(lookup(name), "such command, though it was parsed")
            action = self._action(_input_of(spec))
            if action is Action.QUEUE:
                self._queue(name, arguments)
        except RequestRefused:
            if self.state is State.MULTI:
                self.state = State.DOOMED
            raise
        return action

    def _word(self, word: ShellCommand, arguments: Sequence[bytes]) -> Action:
        """What to do with a word about transactions."""
        word.check_arity(arguments)
        action = self._action(Input(word.name))
        if action is Action.MULTI:
            modes = [argument.lower() for argument in arguments]
            if modes not in ([], [b"atomic"]):
                raise RequestRefused(
                    "bad_request", "multi takes 'atomic' or nothing", hint=f"the syntax is: {word.syntax}"
                )
            self.is_atomic = bool(modes)
        if action is Action.BEGIN and self.watched:
            raise RequestRefused(
                "bad_request",
                "keys are watched for a multi, which begin would not look at",
                hint="unwatch forgets them",
            )
        return action

    def _action(self, given: Input) -> Action:
        step = TABLE[self.state][given]
        if isinstance(step, OutOfPlace):
            raise RequestRefused("bad_request", step.message, hint=step.hint)
        return step

    def _queue(self, name: str, arguments: Sequence[bytes]) -> None:
        size = len(name) + sum(map(len, arguments))
        if self.queued_bytes + size > QUEUE_BYTES_MAX:
            raise RequestRefused("too_large", f"a transaction has at most {QUEUE_BYTES_MAX} bytes")
        self.queued.append(Queued(name, tuple(arguments)))
        self.queued_bytes += size

    def done(self, action: Action) -> None:
        """`action` was carried out."""
        self.state = _NEXT.get(action, self.state)
        # An exec clears watches whatever came of it.
        if self.state is State.IDLE and action in _NEXT:
            self._forget()
        if action is Action.UNWATCH:
            self.watched.clear()

    def failed(self, action: Action, error: BaseException) -> None:
        """`action` was not carried out, because of `error`.

        A commit that surely did not happen leaves the transaction open: it may be tried again. One of which that is
        not known ends it, for a second one could do it twice; so does a refusal for good, and an exec in any case.
        """
        if action in (Action.EXEC, Action.ABORT) or (
            action is Action.COMMIT and not isinstance(error, Unavailable)
        ):
            self.done(action)

    def clear(self) -> None:
        """Forget what is open, and what is watched."""
        self.state = State.IDLE
        self._forget()

    def _forget(self) -> None:
        self.begun = None
        self.queued.clear()
        self.queued_bytes = 0
        self.watched.clear()
        self.is_atomic = False


def _input_of(spec: CommandSpec) -> Input:
    """What a command of the database is to a transaction."""
    if spec.access is Access.WRITE:
        return Input.WRITE
    if spec.name in WHOLE_RANGES:
        return Input.RANGE
    return Input.READ if spec.keys.stop != 0 else Input.OTHER
