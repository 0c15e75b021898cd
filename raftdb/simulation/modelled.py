"""What the parts of the model share: its answers, and how a command of it fails."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from raftdb.errors import Conflict, ReplyError
from raftdb.limits import SESSION_IDLE_MS
from raftdb.machine.session_records import IDLE_GRAIN_MS


class Failure(NamedTuple):
    """A reply that is an error: its code, the keys that have changed (for a conflict), and the index, from 0, of the
    command of a transaction that failed. Its message is not compared."""

    code: str
    keys: tuple[bytes, ...] = ()
    failed_command: int | None = None


class ModelAnswer(NamedTuple):
    """The answer of an entry: a value or a `Failure` (as the result of a command, in a list), and the index of the
    entry that gave it, which is an earlier one for a repeated operation of a session."""

    value: Any
    index: int  # type: ignore[assignment]  # hides tuple.index


@dataclass(slots=True)
class Held:
    """A value: its bytes, the index of the entry that last changed it, when it expires (None: never), and the session
    to which it is bound (None: to none), as the lock model names sessions."""

    data: bytes
    revision: int
    ends_ms: int | None = None
    session: tuple[bytes, int] | None = None


@dataclass(slots=True)
class Session:
    """A session: the kept answers by sequence, with their operations; the last moment of its life, and the time to live
    that its client gave it (0: none)."""

    ends_ms: int = 0
    index: int = 0
    ttl_ms: int = 0
    acknowledged: int = 1
    answers: dict[int, tuple[Any, ModelAnswer]] = field(default_factory=dict)

    def use(self, clock_ms: int) -> None:
        """Let it live on. Its end is moved in steps."""
        if self.ends_ms < clock_ms + (self.ttl_ms or SESSION_IDLE_MS):
            self.prolong(clock_ms)

    def prolong(self, clock_ms: int) -> None:
        """Let its end count from now."""
        idle_ms = self.ttl_ms or SESSION_IDLE_MS
        self.ends_ms = clock_ms + idle_ms + min(IDLE_GRAIN_MS, idle_ms // 4)

    def keep(self, ttl_ms: int, clock_ms: int) -> Failure | None:
        """Let it live on, perhaps with another time to live."""
        if not is_session_ttl(ttl_ms):
            return Failure("command_failed")
        if ttl_ms in (0, self.ttl_ms):
            self.use(clock_ms)
        else:
            self.ttl_ms = ttl_ms
            self.prolong(clock_ms)
        return None


def is_session_ttl(ttl_ms: int) -> bool:
    """Whether a session may have this time to live; 0 is none of its own."""
    return ttl_ms == 0 or 1_000 <= ttl_ms <= 86_400_000


class Failed(Exception):
    """A command has failed, and changed nothing."""

    def __init__(self, failure: Failure = Failure("command_failed")) -> None:  # noqa: B008 - a constant
        super().__init__(failure)
        self.failure = failure


def comparable(value: Any) -> Any:
    """A reply of the machine as one of the model, with each error in it as a `Failure`."""
    if isinstance(value, ReplyError):
        keys = value.keys if isinstance(value, Conflict) else ()
        return Failure(value.code, keys, value.failed_command)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [comparable(item) for item in value]
    return value
