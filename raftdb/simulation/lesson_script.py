"""The scripts of lessons: text, and what is read from it.

A script is text, one instruction a line; a line that begins with a space continues the one before. It begins with what
holds for the whole lesson:

    title WORDS                     what it is about
    nodes N    seed N               how many nodes, and from which seed the rest follows
    speeds NAME N ...               milliseconds: `election`, `heartbeat`, `frame`, `sync`
    batch BYTES                     most bytes of entries in a message, which has at least one entry
    break RULE                      plants a bug (`raftdb.simulation.broken_rules`)

Then come what is said and what is done, in order:

    say WORDS                       an explanation, shown from here on
    ask QUESTION | RIGHT | WRONG ... > WHY
    run N                           lets N milliseconds pass
    run until leader                until a node leads that did not before this instruction
    run until settled               until whoever can be reached follows one leader, and has all that it has
    run until WHO EVENT             until a trace of a node begins like this
    write KEY VALUE [at WHO]        sends a write, without waiting for the answer
    read KEY [at WHO]
    kill WHO    start WHO    pause WHO    resume WHO
    cut WHO[,WHO] WHO[,WHO]         nothing passes between the two groups any more
    silence WHO WHO                 the second does not hear the first any more
    heal                            everything passes again
    add WHO    remove WHO    transfer [WHO]    checkpoint WHO
    call NAME WHO                   from here on {NAME} stands for WHO, in instructions and in what is said

WHO is an id, or `leader`: who leads with the highest term; `follower`, `follower2`...: the others, in order of their
ids; `other`, `other2`...: those without a name; `old`: who led before `leader` was last named anew.
"""

from collections.abc import Iterable
from typing import NamedTuple

from raftdb.simulation.broken_rules import RULES

NODES_MIN = 1
NODES_MAX = 9
INSTRUCTIONS_MAX = 200
SPEEDS = {"election": 300, "heartbeat": 75, "frame": 20, "sync": 10}
"""Milliseconds. Frames and disks take long enough to be seen."""
BATCH_BYTES_MAX = 1 << 20
SAID = ("say", "ask")
DONE = (
    *("run", "write", "read", "kill", "start", "pause", "resume", "cut", "silence", "heal"),
    *("add", "remove", "transfer", "checkpoint", "call"),
)
"""The first words of instructions."""


class LessonError(ValueError):
    """A script that cannot be played, with the number of the line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")


class Instruction(NamedTuple):
    """One instruction: its line, its first word and the rest."""

    line: int
    verb: str
    rest: str


class Lesson(NamedTuple):
    """A script, read. `broken` is the name of a rule, or empty."""

    title: str
    nodes: int
    seed: int
    speeds: dict[str, int]
    batch_bytes_max: int
    broken: str
    instructions: tuple[Instruction, ...]


def read_lesson(text: str) -> Lesson:
    """Read a script. Raises LessonError."""
    title, nodes, seed, batch, broken, speeds = "", 3, 1, BATCH_BYTES_MAX, "", dict(SPEEDS)
    steps: list[Instruction] = []
    for instruction in _instructions(text):
        line, verb, rest = instruction
        if verb == "title":
            title = rest
        elif verb == "nodes":
            nodes = number_in(line, rest, NODES_MIN, NODES_MAX)
        elif verb == "seed":
            seed = number_in(line, rest, 0, 1 << 32)
        elif verb == "speeds":
            speeds |= _speeds(line, rest.split())
        elif verb == "batch":
            batch = number_in(line, rest, 1, BATCH_BYTES_MAX)
        elif verb == "break":
            if rest not in RULES:
                raise LessonError(line, f"no rule is called {rest!r}: there are {', '.join(sorted(RULES))}")
            broken = rest
        elif verb in (*SAID, *DONE):
            steps.append(instruction)
        else:
            raise LessonError(line, f"no instruction is called {verb!r}")
    if len(steps) > INSTRUCTIONS_MAX:
        raise LessonError(steps[-1].line, f"a lesson has at most {INSTRUCTIONS_MAX} instructions")
    return Lesson(title, nodes, seed, speeds, batch, broken, tuple(steps))


def _instructions(text: str) -> Iterable[Instruction]:
    found: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            if not found:
                raise LessonError(number, "nothing is there that this line could continue")
            first, before = found.pop()
            found.append((first, f"{before} {line.strip()}"))
        else:
            found.append((number, line.strip()))
    for number, line in found:
        verb, _, rest = line.partition(" ")
        yield Instruction(number, verb, rest.strip())


def number_in(line: int, text: str, low: int, high: int) -> int:
    """The number in `text`. Raises LessonError unless it is from `low` to `high`."""
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not low <= int(text) <= high:
        raise LessonError(line, f"{text!r} is not a number from {low} to {high}")
    return int(text)


def _speeds(line: int, words: list[str]) -> dict[str, int]:
    if len(words) % 2 or not set(words[::2]) <= set(SPEEDS):
        raise LessonError(line, f"speeds are pairs of {', '.join(SPEEDS)} and milliseconds")
    return {
        name: number_in(line, value, 1, 10_000) for name, value in zip(words[::2], words[1::2], strict=True)
    }
