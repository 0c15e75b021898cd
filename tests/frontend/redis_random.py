"""Random Redis commands, valid and not, that meet on few keys.

Left out is where the two are meant to differ: numbers that are no decimals of moderate size (`INCRBYFLOAT` has no
binary rounding here), ends later than 2^53 ms from now, databases other than 0, DBSIZE, where Redis counts what has
ended and was not asked for since, and FLUSHALL after WATCH, by which keys that were missing have changed here.
Times that are left are not asked for, because they pass while one talks.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

Words = list[str]
Item = TypeVar("Item")

KEYS = ("a", "b", "c", "d{x}")
VALUES = ("", "1", "10", "-5", "abc", "hello world", "x" * 30, "9223372036854775807", " 1", "01", "\r\n")
NUMBERS = ("0", "1", "-1", "10", "100", "abc", "9223372036854775807", "-9223372036854775808", "1.5", "")
LIFETIMES = ("0", "-1", "100000", "abc", "1.5", "", "9223372036854775808")


class Talk:
    """What a random client says, command by command."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._queues = self._watches = False
        self._kinds: list[Callable[[], Words]] = [
            self._set,
            self._set,
            *(lambda name=name: [name, self._key()] for name in ONE_KEY),
            *(lambda name=name: [name, self._key(), self._key()] for name in TWO_KEYS),
            *(lambda name=name: [name, self._key(), self._value()] for name in ("SETNX", "GETSET", "APPEND")),
            *(lambda name=name: [name, self._key(), self._number()] for name in ("INCRBY", "DECRBY")),
            lambda: ["GETEX", self._key(), *self._options("PERSIST", "PX 100000", "EX", "foo")],
            lambda: ["PSETEX", self._key(), self._of(LIFETIMES), self._value()],
            lambda: ["MSET", self._key(), self._value(), *self._options(f"{self._key()} 1", "odd")],
            lambda: ["MSETNX", self._key(), self._value(), *self._options(f"{self._key()} 1", "odd")],
            lambda: ["LCS", self._key(), self._key(), *self._options("LEN", "IDX", "WITHMATCHLEN", "foo")],
            lambda: ["GETRANGE", self._key(), self._number(), self._number()],
            lambda: ["SETRANGE", self._key(), self._of(("0", "3", "-1", "x", "40")), self._value()],
            lambda: ["INCRBYFLOAT", "decimal", self._of(("1", "0.5", "-2.25", "x", "", "nan"))],
            lambda: ["SET", "decimal", self._of(("1", "-0.5", "x", "", " 1"))],
            lambda: ["EXPIRE", self._key(), self._lifetime(), *self._options("NX", "XX", "GT", "LT", "foo")],
            lambda: ["PEXPIRE", self._key(), self._lifetime(), *self._options("NX", "XX", "GT", "LT")],
            lambda: ["EXPIREAT", self._key(), self._of(("1", "33177117420", "33177117421", "x"))],
            lambda: ["COPY", self._key(), self._key(), *self._options("REPLACE", "DB 0", "DB", "foo")],
            *(lambda words=words: words.split() for words in PLAIN),
        ]

    def next(self) -> Words:
        """The next command."""
        while (words := self._of(self._kinds)()) == ["FLUSHALL"] and self._watches and not self._queues:
            pass
        self._follow(words)
        return words

    def _follow(self, words: Words) -> None:
        """Note whether commands are queued after these words, and whether keys may be watched."""
        match words:
            case ["RESET"]:
                self._queues = self._watches = False
            case ["EXEC" | "DISCARD"] if self._queues:
                self._queues = self._watches = False
            case ["UNWATCH"] if not self._queues:
                self._watches = False
            case ["WATCH", _] if not self._queues:
                self._watches = True
            case ["MULTI"]:
                self._queues = True

    def _of(self, items: Sequence[Item]) -> Item:
        return self._random.choice(items)

    def _set(self) -> Words:
        lifetimes = ("EX 100", "PX 100000", f"PX {self._of(LIFETIMES)}", "PXAT 1", "KEEPTTL", "EX")
        return ["SET", self._key(), self._value(), *self._options("NX", "XX", "GET", "foo", *lifetimes)]

    def _key(self) -> str:
        return self._of(KEYS)

    def _value(self) -> str:
        return self._of(VALUES)

    def _number(self) -> str:
        return self._of(NUMBERS)

    def _lifetime(self) -> str:
        """No two are the same: which of two equal ends is later depends on the milliseconds between the commands."""
        return self._of((str(self._random.randrange(10**5, 10**9)), self._of(LIFETIMES)))

    def _options(self, *options: str) -> Words:
        chosen = [self._of(options) for _ in range(self._random.randrange(3))]
        return [word for option in chosen for word in option.split()]


ONE_KEY = (
    *("GET", "GET", "GETDEL", "STRLEN", "INCR", "DECR", "DEL", "UNLINK", "EXISTS", "TYPE"),
    *("PERSIST", "FOO", "SET", "set"),
)
TWO_KEYS = ("MGET", "DEL", "EXISTS", "TOUCH", "RENAME", "RENAMENX", "GET")
PLAIN = (
    *(
        "FLUSHALL",
        "SCAN x",
        "MEMORY USAGE none",
    ),
    *("WATCH watched", "WATCH watched", "INCR watched", "SET watched 1", "GET watched"),
    *("MULTI", "MULTI", "EXEC", "EXEC", "DISCARD", "UNWATCH", "PING", "PING x", "PING a b", "ECHO", "ECHO x"),
    *(
        "SELECT 0",
        "SELECT x",
        "CLIENT SETNAME x",
        "CLIENT GETNAME",
        "CLIENT FOO",
        "CLIENT",
        "CONFIG GET save",
    ),
    *("HELLO 4", "HELLO x", "RESET", "AUTH x", "AUTH default x", "AUTH u x", "COMMAND GETKEYS SET a b"),
    *("KEYS none*", "foo"),
)
