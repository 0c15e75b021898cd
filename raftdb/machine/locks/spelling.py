"""How commands about locks are read from words, and written as such.

Each function that reads takes arguments of the right number, and raises `RequestRefused` for those of a wrong kind.
"""

from collections.abc import Iterator, Sequence

from raftdb.errors import RequestRefused
from raftdb.limits import LOCK_TTL_MS_DEFAULT, OWNER_BYTES_MAX, SCAN_LIMIT_DEFAULT
from raftdb.machine.arguments import integer, prefix_of, seconds_ms, shown_seconds
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.holding import AS_BEFORE, Lock, Renew
from raftdb.machine.locks.looking import Locks
from raftdb.machine.locks.records import LockMode
from raftdb.machine.service import Command

LOCK_SYNTAX = "lock NAME [SHARED | LIMIT N] [TTL SECONDS] [OWNER TEXT] [WAIT SECONDS]"
RENEW_SYNTAX = "renew NAME TOKEN [TTL SECONDS]"
FENCE_SYNTAX = "fence NAME TOKEN [SHARED]"


def token_of_text(text: bytes) -> int:
    """A token."""
    token = integer(text, hint="the token that 'lock' answered")
    if token < 0:
        raise RequestRefused("bad_request", "a token is 0 or above")
    return token


def _unreadable(syntax: str) -> RequestRefused:
    name = syntax.partition(" ")[0]
    return RequestRefused(
        "bad_request", f"the options of '{name}' cannot be read", hint=f"the syntax is: {syntax}"
    )


def _options(syntax: str, words: Sequence[bytes], flags: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The options, each with the word after it, empty for one of `flags`; each once, in any order and case."""
    seen: list[bytes] = []
    rest = iter(words)
    for word in rest:
        option = word.upper()
        text = b"" if option in flags else next(rest, None)
        if text is None or option in seen:
            raise _unreadable(syntax)
        seen.append(option)
        yield option, text


def build_lock(arguments: Sequence[bytes]) -> Command:
    """`lock NAME` and its options, but for WAIT."""
    mode, limit, ttl_ms, owner = LockMode.EXCLUSIVE, 0, LOCK_TTL_MS_DEFAULT, b""
    for option, text in _options(LOCK_SYNTAX, arguments[1:], (b"SHARED",)):
        if option in (b"SHARED", b"LIMIT") and mode is LockMode.EXCLUSIVE:
            mode = LockMode.SHARED if option == b"SHARED" else LockMode.LIMITED
            limit = integer(text, hint="how many may hold it") if mode is LockMode.LIMITED else 0
        elif option == b"TTL":
            ttl_ms = seconds_ms("TTL", text, is_above_0=True)
        elif option == b"OWNER" and 0 < len(text) <= OWNER_BYTES_MAX:
            owner = text
        elif option == b"OWNER":
            raise RequestRefused("bad_request", f"OWNER has from 1 to {OWNER_BYTES_MAX} bytes")
        else:
            raise _unreadable(LOCK_SYNTAX)
    if mode is LockMode.LIMITED and limit <= 0:
        raise RequestRefused("bad_request", "LIMIT is above 0")
    return Lock(arguments[0], mode, limit, ttl_ms, owner)


def arguments_of_lock(command: Lock) -> list[bytes]:
    """The words that spell a `Lock`."""
    words = [command.name]
    if command.mode is LockMode.SHARED:
        words += [b"SHARED"]
    if command.mode is LockMode.LIMITED:
        words += [b"LIMIT", b"%d" % command.limit]
    if command.ttl_ms != LOCK_TTL_MS_DEFAULT:
        words += [b"TTL", shown_seconds(command.ttl_ms)]
    return words + ([b"OWNER", command.owner] if command.owner else [])


def build_renew(arguments: Sequence[bytes]) -> Command:
    """`renew NAME TOKEN` and its option."""
    ttl_ms = AS_BEFORE
    for option, text in _options(RENEW_SYNTAX, arguments[2:], ()):
        if option != b"TTL":
            raise _unreadable(RENEW_SYNTAX)
        ttl_ms = seconds_ms("TTL", text, is_above_0=True)
    return Renew(arguments[0], token_of_text(arguments[1]), ttl_ms)


def arguments_of_renew(command: Renew) -> list[bytes]:
    """The words that spell a `Renew`."""
    words = [command.name, b"%d" % command.token]
    return words if command.ttl_ms == AS_BEFORE else [*words, b"TTL", shown_seconds(command.ttl_ms)]


def build_fence(arguments: Sequence[bytes]) -> Command:
    """`fence NAME TOKEN` and its option."""
    mode = LockMode.EXCLUSIVE
    for option, _ in _options(FENCE_SYNTAX, arguments[2:], (b"SHARED",)):
        if option != b"SHARED":
            raise _unreadable(FENCE_SYNTAX)
        mode = LockMode.SHARED
    return Fence(arguments[0], token_of_text(arguments[1]), mode)


def arguments_of_fence(command: Fence) -> list[bytes]:
    """The words that spell a `Fence`."""
    words = [command.name, b"%d" % command.token]
    return words if command.mode is LockMode.EXCLUSIVE else [*words, b"SHARED"]


def build_locks(arguments: Sequence[bytes]) -> Command:
    """`locks [PREFIX [AFTER [LIMIT]]]`."""
    prefix, after = (prefix_of(text) for text in (*arguments[:2], b"", b"")[:2])
    if len(arguments) < 3:
        return Locks(prefix, after)
    limit = integer(arguments[2], hint=f"a whole number, {SCAN_LIMIT_DEFAULT} unless said")
    if limit < 0:
        raise RequestRefused("bad_request", "a limit is above 0")
    return Locks(prefix, after, limit)
