"""The conditions of a link as a value, and in the words of `tc netem`:

    delay 100ms 50ms distribution normal loss 5% duplicate 2% corrupt 5% reorder 8% rate 1mbit limit 1000

`none` are the conditions of a link that is left alone. A time has its unit (`us`, `ms`, `s`), a rate too (`bit`,
`kbit`, `mbit`, `gbit`, or `bps`, `kbps`, `mbps`, `gbps` for bytes, in powers of 1000 as `tc` has them).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

WORDS_CHARACTERS_MAX = 400
"""Longest text of conditions."""
DELAY_MS_MAX = 60_000.0
LIMIT_MESSAGES_DEFAULT = 1000
"""As of netem."""
LIMIT_MESSAGES_MAX = 100_000
NONE = "none"
DISTRIBUTIONS = ("uniform", "normal")
KEYWORDS = ("delay", "loss", "duplicate", "corrupt", "reorder", "rate", "limit")
"""The first words of conditions, in the order in which they are written."""
EXAMPLE = "for example: delay 100ms 50ms loss 5% duplicate 2% corrupt 5% reorder 8%"

_NUMBER = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([a-z%]*)", re.ASCII)
_MS_OF = {"us": 0.001, "usec": 0.001, "ms": 1.0, "msec": 1.0, "s": 1000.0, "sec": 1000.0}
_BITS_OF = {
    f"{prefix}{unit}": factor * bits
    for prefix, factor in (("", 1), ("k", 1000), ("m", 1000**2), ("g", 1000**3))
    for unit, bits in (("bit", 1), ("bps", 8))
}


class BadConditions(ValueError):
    """Words that are no conditions: `message` says why, and `hint` what to write instead."""

    def __init__(self, message: str, *, hint: str = EXAMPLE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a link does to messages.

    Each is `delay_ms` late, more or less: with the distribution `uniform` by up to `jitter_ms`, with `normal` by that
    as the standard deviation. The percents are shares of messages. `rate_bits_per_s` is None if there is no limit.
    `limit_messages`: so many are held at once; further ones are lost.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    distribution: str = "uniform"
    loss_percent: float = 0.0
    duplicate_percent: float = 0.0
    corrupt_percent: float = 0.0
    reorder_percent: float = 0.0
    rate_bits_per_s: int | None = None
    limit_messages: int = LIMIT_MESSAGES_DEFAULT

    def __str__(self) -> str:
        """The words from which `parse_conditions` makes the same value."""
        return " ".join(self._words()) or NONE

    def _words(self) -> Iterator[str]:
        if self.delay_ms or self.jitter_ms:
            yield f"delay {self.delay_ms:.9g}ms"
        if self.jitter_ms:
            yield f"{self.jitter_ms:.9g}ms"
            if self.distribution != "uniform":
                yield f"distribution {self.distribution}"
        for name in ("loss", "duplicate", "corrupt", "reorder"):
            percent = getattr(self, f"{name}_percent")
            if percent:
                yield f"{name} {percent:.9g}%"
        if self.rate_bits_per_s is not None:
            yield f"rate {_rate_in_words(self.rate_bits_per_s)}"
        if self.limit_messages != LIMIT_MESSAGES_DEFAULT:
            yield f"limit {self.limit_messages}"

    def __bool__(self) -> bool:
        """False if the link is left alone."""
        return self != NO_CONDITIONS


NO_CONDITIONS = Conditions()


def parse_conditions(text: str) -> Conditions:
    """The conditions that `text` says. Raises BadConditions."""
    if len(text) > WORDS_CHARACTERS_MAX:
        raise BadConditions(f"the conditions of a network are {WORDS_CHARACTERS_MAX} characters at most")
    words = text.lower().split()
    if not words:
        raise BadConditions("the conditions of a network are missing", hint=f"{EXAMPLE}; or: {NONE}")
    if words == [NONE]:
        return NO_CONDITIONS
    conditions, said = NO_CONDITIONS, set[str]()
    while words:
        keyword, words = words[0], words[1:]
        parse = _PARSERS.get(keyword)
        if parse is None:
            raise BadConditions(f"{keyword[:40]!r} is no condition of a network", hint=_known(keyword))
        if keyword in said:
            raise BadConditions(f"{keyword} is said twice")
        said.add(keyword)
        count = next((place for place, word in enumerate(words) if word in _PARSERS), len(words))
        conditions = replace(conditions, **parse(keyword, words[:count]))
        words = words[count:]
    if conditions.reorder_percent and not conditions.delay_ms:
        hint = "say a delay, too, as in: delay 10ms reorder 25%"
        raise BadConditions("reorder lets messages overtake those that are delayed, and none is", hint=hint)
    return conditions


def _known(keyword: str) -> str:
    """What may be said instead of a word that is not known."""
    if keyword in ("slot", "seed", "gap", "ecn"):
        return f"netem has it, raftdb has: {', '.join(KEYWORDS)}"
    return f"it may be: {', '.join(KEYWORDS)}; {EXAMPLE}"


def _delay(keyword: str, words: Sequence[str]) -> dict[str, Any]:
    """`delay TIME [JITTER] [distribution NAME]`."""
    times, named = list(words), list[str]()
    if "distribution" in times:
        place = times.index("distribution")
        times, named = times[:place], times[place + 1 :]
        if len(named) != 1 or named[0] not in DISTRIBUTIONS:
            hint = f"it may be: {' or '.join(DISTRIBUTIONS)}"
            raise BadConditions(f"{' '.join(named)[:40]!r} is no distribution of a delay", hint=hint)
        if len(times) < 2:
            hint = "say how much it varies, as in: delay 100ms 50ms distribution normal"
            raise BadConditions("a delay without variation has no distribution", hint=hint)
    if len(times) == 3:
        raise BadConditions("the delays of messages do not depend on each other", hint="delay 100ms 50ms")
    if not 1 <= len(times) <= 2:
        raise BadConditions("a delay is one time, or two", hint="delay 100ms, or delay 100ms 50ms")
    delay_ms, jitter_ms = [*map(_milliseconds, times), 0.0][:2]
    return {"delay_ms": delay_ms, "jitter_ms": jitter_ms, "distribution": (named or ["uniform"])[0]}


def _percent(keyword: str, words: Sequence[str]) -> dict[str, Any]:
    """`loss PERCENT`, and the like."""
    given = [word for word in words if word != "random"]
    match = _NUMBER.fullmatch(given[0]) if len(given) == 1 else None
    if match is None or match[2] != "%" or float(match[1]) > 100:
        hint = f"{keyword} 5%; what happens to messages does not depend on the ones before"
        raise BadConditions(f"{keyword} is a share of the messages, from 0% to 100%", hint=hint)
    return {f"{keyword}_percent": float(match[1])}


def _rate(keyword: str, words: Sequence[str]) -> dict[str, Any]:
    """`rate RATE`."""
    match = _NUMBER.fullmatch(words[0]) if len(words) == 1 else None
    factor = _BITS_OF.get(match[2]) if match is not None else None
    if match is None or factor is None or round(float(match[1]) * factor) < 1:
        raise BadConditions(
            "a rate is a number with its unit", hint="rate 1mbit; also kbit, gbit, kbps, mbps"
        )
    return {"rate_bits_per_s": round(float(match[1]) * factor)}


def _limit(keyword: str, words: Sequence[str]) -> dict[str, Any]:
    """`limit MESSAGES`."""
    text = words[0] if len(words) == 1 else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= LIMIT_MESSAGES_MAX):
        message = f"the limit is a number of messages, from 1 to {LIMIT_MESSAGES_MAX:,}"
        raise BadConditions(message, hint="limit 1000")
    return {"limit_messages": int(text)}


_PARSERS: dict[str, Callable[[str, Sequence[str]], dict[str, Any]]] = {
    "delay": _delay,
    **dict.fromkeys(("loss", "duplicate", "corrupt", "reorder"), _percent),
    "rate": _rate,
    "limit": _limit,
}


def _milliseconds(word: str) -> float:
    match = _NUMBER.fullmatch(word)
    factor = _MS_OF.get(match[2]) if match is not None else None
    if match is None or factor is None:
        raise BadConditions(f"{word[:40]!r} is no time", hint="write it with its unit: 100ms, 1.5s")
    time_ms = float(match[1]) * factor
    if time_ms > DELAY_MS_MAX:
        raise BadConditions(f"a delay is {DELAY_MS_MAX / 1000:g}s at most", hint="delay 1s")
    return time_ms


def _rate_in_words(bits_per_s: int) -> str:
    for unit in ("gbit", "mbit", "kbit"):
        if bits_per_s % _BITS_OF[unit] == 0:
            return f"{bits_per_s // _BITS_OF[unit]}{unit}"
    return f"{bits_per_s}bit"
