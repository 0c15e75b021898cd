"""The transactions of the shell: a table of states and inputs, and the commands that wait. Pure.

There are two kinds. `begin ... commit` is for people: reads are answered at once and watched, writes wait. `multi ...
exec` has Redis' form: everything waits. A multi is *doomed* by a command that could not be queued: its exec is refused,
and nothing runs. Errors in a word of the shell itself (`multi` in a multi) do not doom it.

The executor asks `step` for the action of a line, carries it out, and then calls `done` or `failed`. The reads and
writes since `begin` are kept only by the client's transaction; the commands queued since `multi` are kept here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from cli.line.words import TRANSACTIONS, WORDS, ShellCommand
from raftdb.commands.spec import Access, CommandSpec, lookup
from raftdb.commands.transactions import parse_part
from raftdb.commands.waiting import parse_waiting
from raftdb.errors import RequestRefused, Unavailable, required
from raftdb.limits import CEILING, COMMAND_BYTES_CEILING

if TYPE_CHECKING:
    from raftdb.client.sync_transaction import Transaction

QUEUE_BYTES_MAX = COMMAND_BYTES_CEILING
"""Most bytes of names and arguments that wait for an exec, because no node takes more."""
WHOLE_RANGES = frozenset({"keys", "scan", "dbsize"})
"""Reads of more keys than they name. A commit could not notice that another client has added a key meanwhile, because
no revision of it was read."""


class State(Enum):
    """The state of a shell: which transaction is open."""

    IDLE = "idle"
    BEGIN = "begin"
    MULTI = "multi"
    DOOMED = "doomed"


class Action(Enum):
    """The action of a line."""

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
    """A line is not possible in a state: the reason, and what is possible."""

    message: str
    hint: str


class Input(Enum):
    """The kind of a line: a word about transactions, or a kind of command of the database."""

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
"""The action of each input in each state."""

_NEXT: Mapping[Action, State] = {
    Action.BEGIN: State.BEGIN,
    Action.COMMIT: State.IDLE,
    Action.ROLLBACK: State.IDLE,
    Action.MULTI: State.MULTI,
    Action.EXEC: State.IDLE,
    Action.ABORT: State.IDLE,
    Action.DISCARD: State.IDLE,
}
"""The state after an action; other actions do not change it."""


class Queued(NamedTuple):
    """A command that waits for an exec: its name, as it was typed, and its arguments."""

    name: str
    arguments: tuple[bytes, ...]


@dataclass(slots=True)
class Transactions:
    """The open transaction of a shell, and the commands that wait in it.

    `begun` is the client's transaction since `begin`. `queued` has the commands since `multi`, and `watched` the
    revision of each key that is watched for the exec (0: no such key), the earliest at the index `watched_at`.
    """

    state: State = State.IDLE
    begun: "Transaction[bytes] | None" = None
    is_atomic: bool = False
    queued: list[Queued] = field(default_factory=list)
    queued_bytes: int = 0
    watched: dict[bytes, int] = field(default_factory=dict)
    watched_at: int = 0

    @property
    def waiting(self) -> Sequence[tuple[str, tuple[bytes, ...]]]:
        """The commands that wait for commit or exec: names and arguments."""
        return self.queued if self.begun is None else self.begun.commands

    @property
    def seen(self) -> Mapping[bytes, int]:
        """The keys that must not change until then, and their revisions."""
        return self.watched if self.begun is None else self.begun.watched

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open, which would be lost by leaving now."""
        return self.state is not State.IDLE

    @property
    def opened_by(self) -> str:
        """The word that opened the transaction."""
        return "begin" if self.state is State.BEGIN else "multi"

    def step(self, name: str, arguments: Sequence[bytes]) -> Action:
        """The action of a line. A command that waits for an exec is kept.

        Raises `RequestRefused` for a line that is malformed or not possible now. A command that is refused after
        `multi` dooms the queue.
        """
        word = WORDS.get(name.lower())
        if word is not None and word.heading == TRANSACTIONS:
            return self._word(word, arguments)
        try:
            if self.state is State.IDLE:
                parse_waiting(name, arguments, limits=CEILING)
            else:
                parse_part(name, arguments, limits=CEILING)
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
        """The action of a word about transactions."""
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
                "keys are watched for a multi, and begin does not check them",
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
        """Note that `action` was carried out."""
        self.state = _NEXT.get(action, self.state)
        # An exec clears the watched keys, whatever its outcome.
        if self.state is State.IDLE and action in _NEXT:
            self._forget()
        if action is Action.UNWATCH:
            self._unwatch()

    def failed(self, action: Action, error: BaseException) -> None:
        """Note that `action` failed with `error`.

        A commit that surely was not executed leaves the transaction open, so that it may be tried again. A commit of
        unknown outcome ends it, because a second one could execute it twice; so does a final refusal, and any exec.
        """
        if action in (Action.EXEC, Action.ABORT) or (
            action is Action.COMMIT and not isinstance(error, Unavailable)
        ):
            self.done(action)

    def clear(self) -> None:
        """Discard the open transaction and the watched keys."""
        self.state = State.IDLE
        self._forget()

    def _forget(self) -> None:
        self.begun = None
        self.queued.clear()
        self.queued_bytes = 0
        self._unwatch()
        self.is_atomic = False

    def _unwatch(self) -> None:
        self.watched.clear()
        self.watched_at = 0


def _input_of(spec: CommandSpec) -> Input:
    """The kind of a command of the database."""
    if spec.access is Access.WRITE:
        return Input.WRITE
    if spec.name in WHOLE_RANGES:
        return Input.RANGE
    return Input.READ if spec.keys.stop != 0 else Input.OTHER
