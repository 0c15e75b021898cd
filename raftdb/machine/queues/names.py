"""The names and words in commands on queues: how they are read, and checked again at apply."""

from collections.abc import Iterator, Sequence

from raftdb.errors import ReplyError, RequestRefused
from raftdb.limits import QUEUE_NAME_BYTES_MAX, QUEUE_STEPS_MAX, QUEUE_WORD_BYTES_MAX, RECEIPTS_MAX
from raftdb.machine.arguments import integer
from raftdb.machine.queues.records import read_id, read_receipt

_NAME_RULE = f"a queue has a name of 1 to {QUEUE_NAME_BYTES_MAX} bytes"


def checked_name(name: bytes) -> bytes:
    """Return the name of a queue. Raises `ReplyError` (`bad_key`) if it cannot be one."""
    if not 0 < len(name) <= QUEUE_NAME_BYTES_MAX:
        raise ReplyError("the name of a queue is empty or too long", hint=_NAME_RULE, code="bad_key")
    return name


def checked_word(what: str, word: bytes) -> bytes:
    """Return a word that may be missing. Raises `ReplyError` if it is too long; `what` is its option."""
    if len(word) > QUEUE_WORD_BYTES_MAX:
        raise ReplyError(f"{what} is too long", hint=f"the limit is {QUEUE_WORD_BYTES_MAX} bytes")
    return word


def queue_name(text: bytes) -> bytes:
    """An argument that names a queue. Raises `RequestRefused` (`bad_key`)."""
    if not 0 < len(text) <= QUEUE_NAME_BYTES_MAX:
        raise RequestRefused("bad_key", f"the name of a queue has {len(text)} bytes", hint=_NAME_RULE)
    return text


def word_of(what: str, text: bytes) -> bytes:
    """The word after an option. Raises `RequestRefused`."""
    if not 0 < len(text) <= QUEUE_WORD_BYTES_MAX:
        raise RequestRefused("bad_request", f"{what} has from 1 to {QUEUE_WORD_BYTES_MAX} bytes")
    return text


def receipts_of(texts: Sequence[bytes]) -> tuple[bytes, ...]:
    """The receipts in a command. Raises `RequestRefused`."""
    _check_count(texts)
    for text in texts:
        if read_receipt(text) is None:
            raise RequestRefused(
                "bad_request", "a receipt cannot be read", hint="send it as 'receive' has given it"
            )
    return tuple(texts)


def ids_of(texts: Sequence[bytes]) -> tuple[bytes, ...]:
    """The ids of messages in a command. Raises `RequestRefused`."""
    _check_count(texts)
    return tuple(map(id_of, texts))


def id_of(text: bytes) -> bytes:
    """The id of a message, as people write it. Raises `RequestRefused`."""
    if read_id(text) is None:
        raise RequestRefused("bad_request", "the id of a message cannot be read", hint="an id is like 12-0")
    return text


def _check_count(texts: Sequence[bytes]) -> None:
    if len(texts) > RECEIPTS_MAX:
        raise RequestRefused(
            "too_large", f"a command names {len(texts)} messages: the limit is {RECEIPTS_MAX}"
        )


def steps_of(count: int, most: int = RECEIPTS_MAX) -> int:
    """What a command on so many messages counts for, in keys (`QUEUE_STEPS_MAX`): as one if it is refused anyway."""
    return QUEUE_STEPS_MAX * (count if 1 <= count <= most else 1)


def number_of(what: str, text: bytes, first: int, last: int) -> int:
    """A whole number within bounds. Raises `RequestRefused`."""
    number = integer(text, hint=f"{what} is a whole number")
    if not first <= number <= last:
        raise RequestRefused("bad_request", f"{what} is from {first} to {last}")
    return number


def options_of(
    syntax: str, words: Sequence[bytes], names: Sequence[bytes], flags: Sequence[bytes] = ()
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the options of a command, each with the word after it, empty for one of `flags`; each once, in any order
    and case. Raises `RequestRefused`."""
    seen: list[bytes] = []
    rest = iter(words)
    for word in rest:
        option = word.upper()
        text = b"" if option in flags else next(rest, None) if option in names else None
        if text is None or option in seen:
            name = syntax.partition(" ")[0]
            raise RequestRefused(
                "bad_request", f"the options of '{name}' cannot be read", hint=f"the syntax is: {syntax}"
            )
        seen.append(option)
        yield option, text
