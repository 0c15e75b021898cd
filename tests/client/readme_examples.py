"""The Python examples of README.md as a program: all blocks in one namespace, and what a comment promises is checked.

Where behind an expression there stands a comment that is a literal, that is its value.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

README = Path(__file__).resolve().parent.parent.parent / "README.md"
ADDRESSES = "127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003"
"""What the examples connect to; replaced by the nodes of a test."""

_BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_PROMISE = re.compile(r"^(?P<indent> *)(?P<expression>\S.*?)  # (?P<value>.+)$")


class Program(NamedTuple):
    """Source text, and how many promises of the README are checked in it."""

    text: str
    promises: int


def readme_program(addresses: str) -> Program:
    """The examples of README.md for a cluster at `addresses`."""
    return program_of(README, addresses)


def program_of(page: Path, addresses: str) -> Program:
    """The examples of a page for a cluster at `addresses`; running it raises `AssertionError` where a promise is not
    kept."""
    blocks = [dedent(block) for _, block in _BLOCK.findall(page.read_text(encoding="utf-8"))]
    assert blocks, f"{page.name} has no Python"
    text = "\n".join(blocks)
    assert ADDRESSES in text
    lines = list(_with_promises(text.replace(ADDRESSES, addresses)))
    return Program("\n".join(lines), sum(line.lstrip().startswith("assert ") for line in lines))


def _with_promises(text: str) -> Iterator[str]:
    for line in text.splitlines():
        match = _PROMISE.match(line)
        if match is None or not (_is_expression(match["expression"]) and _is_literal(match["value"])):
            yield line
        else:
            expression, value = match["expression"], match["value"]
            yield f"{match['indent']}assert ({expression}) == {value}, {expression!r} + ' is not ' + {value!r}"


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return False
    return True
