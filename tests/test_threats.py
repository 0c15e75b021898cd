"""The table of threats in docs/security.md: each line says what stops the attacker, and names tests that exist, or says
that it is not covered."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_COVERED = "**not covered**"
ATTACKERS = ("on the network", "on the wire", "client", "user", "page", "former member", "disk or a backup")
"""Whom the table has to think of."""


def rows() -> list[list[str]]:
    """The cells of each line of the table."""
    text = (ROOT / "docs" / "security.md").read_text()
    table = text.partition("| attacker | what they can try | what stops it | test |\n|---|---|---|---|\n")[2]
    lines = table.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


ROWS = rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:2])[:60])
def test_each_line_says_what_stops_it_and_which_test_shows_it(row: list[str]) -> None:
    if NOT_COVERED in row[2]:
        return
    assert len(row) == 4, row
    named = re.findall(r"`([^`]+)`", row[3])
    on_processes = any(name.startswith("tests/e2e/") for name in named)
    assert on_processes or row[3] == "the same", "a test over real processes"
    for name in named:
        path, _, test = name.partition("::")
        assert path.startswith("tests/")
        text = (ROOT / path).read_text()
        assert f"def {test}(" in text if test else "def test_" in text, name


def test_the_table_thinks_of_every_kind_of_attacker() -> None:
    assert len(ROWS) > 15
    told = " ".join(row[0] for row in ROWS)
    assert [attacker for attacker in ATTACKERS if attacker not in told] == []
    assert ROWS[0][3] != "the same"
