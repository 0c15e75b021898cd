"""What a step has shown, and what was expected. Pure.

Texts may name nodes by their roles, in angle brackets: `<leader>`, or a name that a step has given.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """What a step has shown, as lines for people, and whether a command of it failed."""

    lines: tuple[str, ...]
    failed: bool = False

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of a result, in words, and whether that is so. `judge` gets what the roles in its texts stand
    for: a function that fills them in."""

    words: str
    judge: Callable[[Result, Callable[[str], str]], bool]


def exactly(*lines: str) -> Expectation:
    """These lines and no others."""

    def judge(result: Result, fill: Callable[[str], str]) -> bool:
        return not result.failed and list(result.lines) == [fill(line) for line in lines]

    return Expectation(" · ".join(lines), judge)


def has(*words: str, says: str | None = None) -> Expectation:
    """These words, in this order, with anything between them."""

    def judge(result: Result, fill: Callable[[str], str]) -> bool:
        position = 0
        for word in map(fill, words):
            position = result.text.find(word, position)
            if position < 0:
                return False
            position += len(word)
        return not result.failed

    return Expectation(says or " ... ".join(words), judge)


def fails(*words: str, says: str | None = None) -> Expectation:
    """An error, with these words."""

    def judge(result: Result, fill: Callable[[str], str]) -> bool:
        return result.failed and all(fill(word) in result.text for word in words)

    return Expectation(says or f"an error: {' '.join(words)}", judge)


def works(says: str = "it works") -> Expectation:
    """No error."""
    return Expectation(says, lambda result, fill: not result.failed)
