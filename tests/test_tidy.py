"""The judge of the house rules: this project keeps them, and each rule can be broken.

The rules are in `tidy.py`. Every one is also shown a small project that breaks it, for a check that cannot fail
checks nothing.
"""

import ast
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.tidy import FUNCTION_LINES_MAX, Problem, find_problems, judge

ROOT = Path(__file__).resolve().parent.parent

EXCEPTIONS: dict[tuple[str, str], int] = {}
"""(rule, where) to the measure granted, with the reason in a comment. May only shrink: see `judge`."""

ESSAY = '"""One.\nTwo.\nThree.\nFour.\nFive.\n"""\n'
FIRST_LINE = '"""A module."""\n'
SLASH = "/"


def test_the_project_keeps_the_house_rules() -> None:
    complaints = judge(find_problems(ROOT), EXCEPTIONS)
    assert not complaints, "\n".join(complaints)


def test_all_versions_are_the_same() -> None:
    """The distribution and the packages, whose agreement is how a foreign `storage` or `cli` is found out."""
    found = {"pyproject.toml": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]}
    for package, name in (
        ("raftdb", "__version__"),
        ("storage", "RAFTDB_VERSION"),
        ("cli", "RAFTDB_VERSION"),
    ):
        for node in ast.parse((ROOT / package / "__init__.py").read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if name in [ast.unparse(target) for target in targets]:
                    found[f"{package}.{name}"] = ast.literal_eval(node.value)
    assert len(found) == 4, f"a version is missing: {found}"
    assert len(set(found.values())) == 1, found


def planted_project(root: Path, files: dict[str, str]) -> Path:
    """A small project that keeps all rules, but for what `files` adds or replaces."""
    tidy = {
        "raftdb/__init__.py": ESSAY,
        "storage/__init__.py": ESSAY,
        "README.md": "A project.\n",
        ".ci/run": "\n",
    }
    for name, text in (tidy | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def long_function(lines: int, docstring_lines: int = 0) -> str:
    """A documented module with one private function of so many lines, without counting its docstring."""
    docstring = (
        ['    """First.', *["    More."] * (docstring_lines - 2), '    """'] if docstring_lines else []
    )
    return FIRST_LINE + "\n".join(["def _long() -> None:", *docstring, *["    pass"] * (lines - 1), ""])


PLANTED = {
    "file-lines": ("raftdb/long.py", FIRST_LINE + "NUMBER = 1\n" * 400),
    "function-lines": ("storage/long.py", long_function(FUNCTION_LINES_MAX + 1)),
    "function-lines of a method": (
        "storage/method.py",
        FIRST_LINE + "class _Private:\n    def method(self):\n" + "        pass\n" * FUNCTION_LINES_MAX,
    ),
    "docstring of a module": ("raftdb/silent.py", "NUMBER = 1\n"),
    "docstring of a class": ("raftdb/silent.py", FIRST_LINE + "class Public: ...\n"),
    "docstring of a function": ("raftdb/silent.py", FIRST_LINE + "async def public(): ...\n"),
    "docstring of a method": (
        "raftdb/silent.py",
        FIRST_LINE + 'class Public:\n    """A class."""\n    def method(self): ...\n',
    ),
    "reaches-past": (
        "raftdb/server/__init__.py",
        ESSAY + "def _term(driver): return driver.replica.raft.state.term\n",
    ),
    "url": ("raftdb/dialled.py", FIRST_LINE + "def _url(address): return f'http://{address}/'\n"),
    "surface: past it": ("raftdb/server/__init__.py", ESSAY + "from storage.hidden import name\n"),
    "surface: past it, by the package": ("raftdb/server/__init__.py", ESSAY + "from storage import hidden\n"),
    "surface: past it, as a whole": ("benchmarks/one.py", "import storage.hidden\n"),
    "surface: nobody uses it": ("storage/__init__.py", ESSAY + '__all__ = ["hidden"]\n'),
    "essay too short": ("raftdb/wire/__init__.py", FIRST_LINE),
    "essay missing": ("raftdb/wire/cbor.py", FIRST_LINE),
    "forbidden-text: a path": ("tests/test_it.py", f"PATH = '{SLASH}root{SLASH}project'\n"),
    "forbidden-text: another path": (".ci/run", f"cd {SLASH}work{SLASH}main\n"),
    "forbidden-text: an index": ("README.md", "pip install -i https://pypi" + ".org/simple\n"),
    "top-level folder": ("scripts/run.py", FIRST_LINE),
    "top-level file": ("setup.py", FIRST_LINE),
}


@pytest.mark.parametrize("rule", PLANTED)
def test_each_rule_finds_what_breaks_it(rule: str, tmp_path: Path) -> None:
    path, text = PLANTED[rule]
    problems = find_problems(planted_project(tmp_path, {path: text}))
    assert len(problems) == 1, problems
    assert rule.startswith(problems[0].rule)


def test_what_keeps_the_rules_is_left_alone(tmp_path: Path) -> None:
    files = {
        "raftdb/long.py": FIRST_LINE + "NUMBER = 1\n" * 399,
        "raftdb/function.py": long_function(FUNCTION_LINES_MAX, docstring_lines=30),
        "raftdb/private.py": FIRST_LINE + "def _private(): ...\nclass _Private:\n    def method(self): ...\n",
        "tests/test_long.py": "def test_long():\n" + "    pass\n" * 500,
        "README.md": f"See framework{SLASH}work{SLASH}it and http://host{SLASH}root{SLASH}it.\n",
        "data/n1/anything.py": "written by a node, not by us\n",
        "raftdb/wire/__init__.py": ESSAY + '__all__ = ["cbor", "encode"]\n',
        "raftdb/wire/cbor.py": FIRST_LINE + "import raftdb.wire.hidden\n",
        "raftdb/node/__init__.py": ESSAY
        + "from raftdb.wire import encode\nfrom raftdb.wire.cbor import name\n",
        "raftdb/node/alone.py": FIRST_LINE + "from raftdb import errors\nfrom raftdb.errors import name\n",
        "tests/test_reaching.py": "from storage.hidden import name\n",
    }
    assert find_problems(planted_project(tmp_path, files)) == []


def test_in_a_checkout_ignored_files_are_not_judged_and_new_ones_are(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    files = {".gitignore": "/ignored.py\n", "ignored.py": "", "planted.py": ""}
    problems = find_problems(planted_project(tmp_path, files))
    assert [problem.where for problem in problems] == ["planted.py"]


def test_exceptions_may_only_shrink() -> None:
    problems = [Problem("file-lines", "raftdb/long.py", 410, "410 lines")]
    place = ("file-lines", "raftdb/long.py")
    assert judge(problems, {place: 410}) == []
    assert "410 lines [file-lines]" in judge(problems, {})[0]
    assert "grew" in judge(problems, {place: 405})[0]
    assert "lower" in judge(problems, {place: 420})[0]
    assert "no longer needed" in judge([], {place: 410})[0]


def test_connections_are_written_to_in_a_way_that_pauses_whoever_writes() -> None:
    """`writelines` of asyncio's connections does not, in Python 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1."""
    modules = sorted((ROOT / "raftdb").rglob("*.py"))
    assert modules
    assert [path.name for path in modules if ".writelines(" in path.read_text(encoding="utf-8")] == []
