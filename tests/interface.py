"""What docs/interface.md promises, as tables: what the code does is compared with that, and not with its own tables."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

INTERFACE = (Path(__file__).resolve().parent.parent / "docs" / "interface.md").read_text(encoding="utf-8")
QUOTED = re.compile(r"`([^`]+)`")


class Numbers(NamedTuple):
    """What an error code is over HTTP, and what a client ends with."""

    status: int
    exit_code: int


def cells_of(line: str) -> list[str]:
    """The cells of one row of a table; a bar within a cell has a backslash before it."""
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [cell.strip().replace("\\|", "|") for cell in cells]


def section(text: str, number: int) -> str:
    """The text under heading `## <number>. ...`."""
    parts = re.split(r"^## (\d+)\. .*$", text, flags=re.MULTILINE)
    return dict(zip(map(int, parts[1::2]), parts[2::2], strict=True))[number]


def table(text: str, first_header: str) -> list[list[str]]:
    """The rows of the one table in `text` whose first column has this header."""
    lines = text.splitlines()
    (start,) = [n for n, line in enumerate(lines) if line.startswith(f"| {first_header} |")]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(cells_of(line))
    return rows


@cache
def documented_codes() -> dict[str, Numbers]:
    """Every error code of the interface."""
    return {
        code: Numbers(int(status), int(exit_code))
        for status, exit_code, codes, _ in table(section(INTERFACE, 3), "status")
        for code in QUOTED.findall(codes)
    }
