"""SCAN: keys page by page, with Redis' cursors.

A page begins after the last key of the one before it, and Redis' cursors are numbers, so each node keeps the keys of
its cursors, a bounded number of them. An unknown cursor, which is another node's or very old, is an error, while Redis
would answer something. Keys come in order, so a scan finds every key that exists all the time, and none twice.
"""

import os
from functools import partial
from typing import cast

from raftdb.frontend.redis.arguments import integer
from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.errors import SYNTAX, CommandRefused
from raftdb.frontend.redis.globs import literal_prefix, matcher
from raftdb.frontend.redis.rows import READ_SLOW, Arguments, Row, run_here
from raftdb.frontend.redis.strings import as_it_is
from raftdb.limits import KEY_BYTES_MAX, SCAN_LIMIT_MAX
from raftdb.machine.drawing import DrawKey
from raftdb.machine.reply import Page, Told
from raftdb.machine.scanning import ReadPage

COUNT_DEFAULT = 10
_DIGITS_MAX = 20
"""Most digits of a number of 64 bits."""


def _scan(client: ClientState, given: Arguments) -> object:
    """`SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]`."""
    cursors = client.facts.cursors
    pattern, count, kind = b"*", COUNT_DEFAULT, b"string"
    number = _cursor(given[1])
    if len(given) % 2:
        raise CommandRefused(SYNTAX)
    for word, value in zip(given[2::2], given[3::2], strict=True):
        option = word.upper()
        if option == b"MATCH":
            pattern = value
        elif option == b"COUNT":
            count = integer(value)
            if count < 1:
                raise CommandRefused(SYNTAX)
        elif option == b"TYPE":
            kind = value.lower()
        else:
            raise CommandRefused(SYNTAX)
    after = cursors.key_of(number) if number else b""
    if after is None:
        raise CommandRefused("ERR unknown cursor: it is another node's, or too old; begin again with 0")
    prefix = literal_prefix(pattern)[:KEY_BYTES_MAX]
    matches = matcher(pattern)

    def reply(told: Told) -> object:
        page = cast(Page, told.value)
        keys = [record.key for record in page.records if matches(record.key)] if kind == b"string" else []
        following = 0 if page.next_after is None else cursors.number_of(page.next_after)
        return [b"%d" % following, keys]

    return ReadPage(prefix, after, min(count, SCAN_LIMIT_MAX), with_values=False), reply


def _cursor(text: bytes) -> int:
    if not text.isdigit() or len(text) > _DIGITS_MAX or int(text) >= 1 << 64:
        raise CommandRefused("ERR invalid cursor")
    return int(text)


def _random_key(client: ClientState, given: Arguments) -> object:
    return DrawKey(os.urandom(KEY_BYTES_MAX)), as_it_is


_row = partial(run_here, "generic")

SCANNING: tuple[Row, ...] = (
    _row("randomkey", 1, READ_SLOW, "1.0.0", "Any key", _random_key),
    _row("scan", -2, READ_SLOW, "2.8.0", "Keys page by page", _scan),
)
"""The rows of the table."""
