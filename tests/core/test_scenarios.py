"""The stories of the core: each file in `scenarios` is a test. How they are written: see `scenario.py`."""

import difflib
import re
from pathlib import Path

import pytest

from tests.core.scenario import COMMANDS, Scenario, ScenarioError, parse, render

FOLDER = Path(__file__).parent / "scenarios"
FILES = sorted(FOLDER.glob("*.txt"))

HEADER = "# Goal: to show a mistake.\n# Source: none.\n"


def play(text: str) -> str:
    """Run a scenario; returns its file with the output that it has now."""
    scenario = Scenario()
    blocks = parse(text)
    return render(blocks, [scenario.run(block) for block in blocks])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_story(path: Path, request: pytest.FixtureRequest) -> None:
    expected = path.read_text(encoding="utf-8")
    actual = play(expected)
    if request.config.getoption("--rewrite"):
        path.write_text(actual, encoding="utf-8")
        return
    difference = "\n".join(
        difflib.unified_diff(expected.splitlines(), actual.splitlines(), "expected", "actual", lineterm="")
    )
    assert not difference, f"the story goes differently (see scenario.py on --rewrite):\n{difference}"


def test_every_story_is_named_by_a_sentence() -> None:
    assert len(FILES) >= 18
    for path in FILES:
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+){2,}", path.stem), path.name


def test_stories_use_every_command_and_no_command_lacks_its_documentation() -> None:
    used = {
        command.split()[0]
        for path in FILES
        for block in parse(path.read_text(encoding="utf-8"))
        for _, command in block.commands
    }
    assert used == set(COMMANDS)
    for name, command in COMMANDS.items():
        assert (command.__doc__ or "").startswith(f"`{name}"), name


def test_a_story_is_the_same_every_time() -> None:
    text = FILES[0].read_text(encoding="utf-8")
    assert play(text) == play(text)


@pytest.mark.parametrize(
    ("commands", "complaint"),
    [
        ("jump n1\ncheck", "unknown command 'jump'"),
        ("check", "no cluster yet"),
        ("cluster 3\ntick n9\ncheck", "no node n9"),
        ("cluster 3\ncolour=red\ncheck", "unknown command"),
        ("cluster 3 colour=1\ncheck", "no setting colour"),
        ("cluster 3\ndeliver\ncheck", "no such message"),
        ("cluster 3\ntimeout n1\ndeliver sideways\ncheck", "selects nothing"),
        ("cluster 3\ntimeout n1\ncheck", "still in flight"),
        ("cluster 3\nelect n1\ntimeout n1\ncheck", "has no election timeout"),
        ("cluster 3\npersist n1\ncheck", "no write waits"),
        ("cluster 3", "the last command must be `check`"),
    ],
)
def test_a_mistake_in_a_story_is_said(commands: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(complaint)):
        play(f"{HEADER}{commands}\n----\n")


def test_a_story_without_a_goal_is_refused() -> None:
    with pytest.raises(ScenarioError, match="# Goal:"):
        play("# Source: none.\ncluster 3\ncheck\n----\n")
