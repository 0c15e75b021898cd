"""What a command answers: `Result`, or `ReplyError` as a value. Never raised out of apply."""

from typing import NamedTuple, TypeAlias

from raftdb.errors import ReplyError

Value: TypeAlias = str | bytes | int | list["bytes | None"] | None
"""`str` is a status such as OK, `bytes` a string, `int` an integer, None nil, a list an array of strings and
nils."""


class Result(NamedTuple):
    """The answer of a command that did what it was asked to.

    `revision` belongs to the one key that the command names: of the value read, or written, or (`Delete`)
    removed; 0 if there is no such key. None for commands that name no key or several.
    """

    value: Value
    revision: int | None


Reply: TypeAlias = Result | ReplyError
"""What `apply` returns. Both kinds are final: a `ReplyError` is an answer, not a failure of the database."""
