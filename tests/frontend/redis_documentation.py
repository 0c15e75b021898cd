"""docs/redis.md: what becomes of each command of Redis here. `python -m tests.frontend.redis_documentation` writes it.

It is made from the table of commands, from the differences that docs/interface.md tells, and from the list of the
commands of Redis 7.0, as that Redis gives it (`COMMAND DOCS`: group and name, subcommands apart).
"""

import re
from itertools import groupby
from pathlib import Path

from raftdb.frontend.redis.rows import Row
from raftdb.frontend.redis.services import SERVICES
from raftdb.frontend.redis.table import COMMANDS

ROOT = Path(__file__).parent.parent.parent
TARGET = ROOT / "docs" / "redis.md"
KNOWN = Path(__file__).parent / "redis_7_0_commands.txt"
HEAD = """# The commands of Redis, one by one

This page is generated (`python -m tests.frontend.redis_documentation`) from the table of commands of this version and
from the list of Redis 7.0. What holds of all commands is in [interface.md](interface.md), section 5; those that
Redis does not have are at the end.
"""
NOT_IN_REDIS = """
## not in Redis

[services.md](services.md) shows those of queues and locks, and interface.md, section 4, what they answer.

| command | does |
|---|---|
"""
MISSING = "not supported"


def differences() -> dict[str, str]:
    """What docs/interface.md tells of each command that differs, by its name."""
    text = (ROOT / "docs" / "interface.md").read_text()
    table = text[text.index("| command | difference |") : text.index("Absent are lists, sets")]
    found: dict[str, str] = {}
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 2:
            found.update({name.lower(): cells[1] for name in re.findall(r"`([A-Z]+)`", cells[0])})
    return found


def rows() -> dict[str, Row]:
    """The rows of all commands that do something, those of subcommands under both words."""
    return {each.name: each for row in COMMANDS.values() for each in (row.subcommands or (row,))} | {
        "command": COMMANDS["command"]
    }


def generated() -> str:
    """The text of the page."""
    supported, told = rows(), differences()
    known = [line.split(" ", 1) for line in KNOWN.read_text().splitlines()]
    parts = [HEAD]
    for group, names in groupby(known, key=lambda pair: pair[0]):
        cells: dict[str, list[str]] = {}
        for _, name in names:
            difference = told.get(name.partition("|")[0])
            cell = "supported" if difference is None else f"differs: {difference}"
            shown = f"`{name.replace('|', ' ').upper()}`"
            cells.setdefault(cell if name in supported else MISSING, []).append(shown)
        missing = cells.pop(MISSING, [])
        parts.append(f"\n## {group}\n\n| commands | here |\n|---|---|\n")
        parts += [f"| {' '.join(shown)} | {cell} |\n" for cell, shown in cells.items()]
        parts += [f"| {' '.join(missing)} | {MISSING} |\n"] if missing else []
    parts.append(NOT_IN_REDIS)
    parts += [f"| `{row.name.upper()}` | {row.summary} |\n" for row in SERVICES]
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(generated())
