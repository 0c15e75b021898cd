"""The documents are true: what they name exists, and what exists they name. Drift is planted, and found.

Tables of the code are imported, and flags are those of the commands as they are loaded.
"""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from string import ascii_lowercase
from typing import Any, cast

import click
import pytest

import raftdb
from cli.console import failures
from cli.line.dot_words import DOT_WORDS
from cli.line.lexer import split
from cli.line.words import WORDS
from cli.program import SUB_COMMANDS, program
from cli.subcommands.cluster import cluster
from cli.subcommands.serve import given_flags, serve
from raftdb.client.async_io import CONCURRENCY_MAX
from raftdb.client.retrying import ATTEMPTS_MAX, TIMEOUT_MS
from raftdb.client.sync_client import DEFAULT_TIMEOUT_MS
from raftdb.commands.spec import COMMANDS
from raftdb.commands.waiting import parse_waiting
from raftdb.errors import CODES
from raftdb.frontend.http_api import HttpApi
from raftdb.frontend.http_pages import PagesApi
from raftdb.server import bootstrap, config
from raftdb.server.folder import EXIT_OF_REASON
from raftdb.transport.limits import PEER_PATH
from raftdb.web import PAGES
from tests.description import FILE, PAGE, generator, operations
from tests.interface import INTERFACE, QUOTED, cells_of, documented_codes, section, table
from tests.sim.mutations import MUTATIONS

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
SCENARIOS = TESTS / "core" / "scenarios"
FOLDERS = ("raftdb", "storage", "cli", "tests", "benchmarks", ".ci")
README = (ROOT / "README.md").read_text(encoding="utf-8")
HAZARDS = (ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")

HAZARD_ID = re.compile(r"(?<![\w.])B(?!0\d\d)\d{2,3}(?![0-9A-Za-z_])")
HAZARD_IDS = [f"B{number:02}" for number in range(1, 111)]
SECTION = re.compile(r"interface(?:\.md)?`?,\s+section\s+(\d+)")


def first_quoted(rows: Iterable[list[str]], column: int = 0) -> list[str]:
    """The first quoted text in a column of each row."""
    return [QUOTED.findall(row[column])[0] for row in rows]


@cache
def sources() -> dict[Path, str]:
    """All source texts of the project and the stories of the core."""
    found = [
        file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".txt")
    ]
    return {file: file.read_text(encoding="utf-8") for file in sorted(found)}


def without_blocks(text: str) -> str:
    """The text without what stands in fences."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def is_importable(name: str) -> bool:
    """True if the dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute, None)
        return found is not None
    return False


def hazard_rows(text: str) -> dict[str, str]:
    """Hazard id to the cell that names its tests. Ids are unique."""
    rows = [cells_of(line) for line in text.splitlines() if line.startswith("| B")]
    assert all(len(row) == 4 and all(row) for row in rows), [
        row for row in rows if len(row) != 4 or not all(row)
    ]
    assert len({row[0] for row in rows}) == len(rows), "an id stands twice"
    return {row[0]: row[3] for row in rows}


def named_tests(text: str) -> Iterator[str]:
    """Every test and story that a text names."""
    return (name for name in QUOTED.findall(text) if "::" in name or re.fullmatch(r"\w+\.txt", name))


@cache
def functions_of(path: Path) -> dict[str, str]:
    """Test functions of a file, at its top or in a class, to their docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: ast.get_docstring(node) or "" for node in nodes if node.name.startswith("test_")}


def is_there(name: str) -> bool:
    """True if a named test or story exists."""
    path, _, function = name.partition("::")
    if not function:
        return (SCENARIOS / path).is_file()
    return (TESTS / path).is_file() and function in functions_of(TESTS / path)


def hazards_with_tests() -> dict[str, set[str]]:
    """Hazard id to the tests and stories that say of themselves that they are about it."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for function, docstring in functions_of(path).items():
            for hazard in HAZARD_ID.findall(docstring):
                found.setdefault(hazard, set()).add(f"{path.relative_to(TESTS).as_posix()}::{function}")
    for path in sorted(SCENARIOS.glob("*.txt")):
        for hazard in HAZARD_ID.findall(path.read_text(encoding="utf-8")):
            found.setdefault(hazard, set()).add(path.name)
    return found


def test_every_hazard_has_its_line() -> None:
    assert list(hazard_rows(HAZARDS)) == HAZARD_IDS


def test_every_hazard_that_the_code_mentions_is_described() -> None:
    mentioned = {hazard for text in sources().values() for hazard in HAZARD_ID.findall(text)}
    assert len(mentioned) > 50
    assert mentioned <= set(HAZARD_IDS)


def test_every_test_that_the_hazards_name_exists() -> None:
    names = list(named_tests(HAZARDS))
    assert len(names) > 100
    assert [name for name in names if not is_there(name)] == []


def test_every_hazard_has_a_test_or_says_why_not() -> None:
    for hazard, cell in hazard_rows(HAZARDS).items():
        reason = re.search(r"not yet\b\W*(\w.+)", cell)
        assert any(named_tests(cell)) or reason, hazard
        assert "not yet" not in cell or reason, f"{hazard}: not yet, and no reason"


def test_a_hazard_that_tests_name_has_tests_in_its_line() -> None:
    rows = hazard_rows(HAZARDS)
    for hazard, tests in sorted(hazards_with_tests().items()):
        assert any(named_tests(rows[hazard])), f"{hazard} has a test by now: {sorted(tests)}"


def test_the_planted_bugs_are_those_of_the_simulator() -> None:
    marked = {hazard for hazard, cell in hazard_rows(HAZARDS).items() if re.search(r"\bplanted\b", cell)}
    # A second mutation of a hazard has a letter behind the number; ids without a B are sections of the thesis.
    ids = (mutation.hazard.rstrip(ascii_lowercase) for mutation in MUTATIONS)
    assert marked == {hazard for hazard in ids if hazard.startswith("B")}


def test_every_section_that_the_code_names_exists() -> None:
    named = {int(number) for text in sources().values() for number in SECTION.findall(text)}
    assert named >= {1, 2, 3, 4}
    for number in sorted(named):
        assert section(INTERFACE, number)


def test_every_command_of_the_command_line_is_documented() -> None:
    names = [
        text.removeprefix("raftdb ").split()[0]
        for text in first_quoted(table(section(INTERFACE, 1), "command"))
    ]
    # The last row stands for all commands of the database.
    assert names[:-1] == list(SUB_COMMANDS)
    assert names[-1] in COMMANDS


def test_every_flag_is_documented() -> None:
    commands: list[click.Command] = [program, *(row.load() for row in SUB_COMMANDS.values())]
    commands += cluster.commands.values()
    flags = {
        flag
        for command in commands
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for flag in parameter.opts
    }
    assert {
        "--connect",
        "-o",
        "--keep-going",
        "--fresh",
        "--log-heartbeats",
        "--learner",
        "--version",
    } <= flags
    text = section(INTERFACE, 1) + section(INTERFACE, 2)
    assert [flag for flag in sorted(flags) if not re.search(rf"(?<![\w-]){flag}(?![\w-])", text)] == []


def test_every_exit_code_is_documented() -> None:
    of_clients = {value for name, value in vars(failures).items() if name.startswith("EXIT_")}
    of_codes = {code.exit_code for code in CODES.values()}
    named = {value for name, value in vars(bootstrap).items() if name.startswith("EXIT_")}
    of_servers = {*named, *EXIT_OF_REASON.values()}
    rows = table(section(INTERFACE, 1), "exit code")
    documented = {int(row[0]) for row in rows}
    assert documented == of_clients | of_codes | of_servers | {config.EXIT_CONFIGURATION}
    assert of_servers | {0, config.EXIT_CONFIGURATION} <= {int(row[0]) for row in rows if row[2:] and row[2]}


def test_every_setting_is_documented_with_its_default() -> None:
    words: dict[object, str] = {None: "none", False: "false", True: "true"}
    settings = {item.name: item.default for item in fields(config.Settings)}
    assert list(settings) == list(config.PARSERS)
    expected = {name: words.get(value, str(value)) for name, value in settings.items()}
    rows = table(section(INTERFACE, 2), "setting")
    assert {name: row[1].strip("`") for name, row in zip(first_quoted(rows), rows, strict=True)} == expected


def http_api(**more: Any) -> HttpApi:
    """All routes for clients, but those of pages."""
    return HttpApi(cast(Any, None), logins=cast(Any, object()), **more)


def test_every_route_is_documented() -> None:
    table_of_routes = http_api().routes()
    served = {
        f"{method} {path}"
        for path, methods in table_of_routes.items()
        for method in methods
        if method != "HEAD"
    }
    assert set(first_quoted(table(section(INTERFACE, 3), "request"))) == served | {f"GET {PEER_PATH}"}


def test_the_description_of_the_api_has_the_routes_of_a_node() -> None:
    """Both ways. Pages for browsers are no part of it: they stand in `raftdb.web.PAGES`."""
    pages = {page.path for page in PAGES if page.path != "/"}
    served = {
        (method, path)
        for path, methods in http_api(pages=PagesApi(list, mode="read")).routes().items()
        for method in methods
        if method != "HEAD" and path not in pages
    }
    described = {(operation.method, operation.path) for operation in operations()}
    assert served - described == set(), "describe these in raftdb/description/openapi.yaml, under paths"
    assert described - served == set(), "no node has these: take them out of raftdb/description/openapi.yaml"


def test_the_page_of_the_api_is_made_of_its_description() -> None:
    made = generator().make(FILE.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == made, "run .ci/api_page.py"


def test_the_page_of_the_api_runs_nothing_and_loads_nothing_from_elsewhere() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*>", text) == ['<script src="/web/theme.js">']
    assert re.findall(r'\s(?:src|href)="(?![/#])', text) == []
    assert re.findall(r'\s(?:style|on\w+)="', text) == []
    for operation in operations():
        assert f'id="{operation.described["operationId"]}"' in text


def test_every_error_code_is_documented_with_status_and_exit_code() -> None:
    documented = {code: tuple(numbers) for code, numbers in documented_codes().items()}
    assert documented == {name: (code.status, code.exit_code) for name, code in CODES.items()}


def test_every_command_of_the_database_and_of_the_shell_is_documented() -> None:
    commands = first_quoted(table(section(INTERFACE, 4), "command"))
    assert sorted(commands) == sorted(spec.syntax for spec in COMMANDS.values())
    dot_commands = first_quoted(table(section(INTERFACE, 4), "dot-command"))
    assert sorted(dot_commands) == sorted(dot.syntax for dot in DOT_WORDS.values())
    words = first_quoted(table(section(INTERFACE, 4), "word of the shell"))
    assert sorted(words) == sorted(word.syntax for word in WORDS.values())


def test_every_method_and_error_of_the_python_clients_is_documented() -> None:
    text = section(INTERFACE, 6)
    documented = {name for row in table(text, "method") for name in re.findall(r"`(\w+)\(", row[0])}
    methods = {name for name in dir(raftdb.Client) if not name.startswith("_")} - {"addresses", "credentials"}
    assert documented == methods
    public = {name: getattr(raftdb, name) for name in raftdb.__all__}
    errors = {name for name, kind in public.items() if isinstance(kind, type) and issubclass(kind, Exception)}
    errors -= {"RaftdbError"}
    assert set(first_quoted(table(text, "error"))) == errors
    assert f"timeout_ms={DEFAULT_TIMEOUT_MS}," in text
    assert f"concurrency_max={CONCURRENCY_MAX}`" in text
    assert f"max_attempts={ATTEMPTS_MAX}, timeout_ms={TIMEOUT_MS:.0f})" in text


def test_the_readme_leads_to_the_documents() -> None:
    for path in sorted((ROOT / "docs").glob("*.md")):
        assert f"](docs/{path.name})" in README


def test_every_line_of_the_tour_of_services_is_one_that_the_shell_takes() -> None:
    text = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    lines = re.findall(r"^> (.+)$", blocks, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        for name, *arguments in split(line):
            word = WORDS.get(name.text)
            if word is None:
                parse_waiting(name.text, [argument.value for argument in arguments])
            else:
                word.check_arity(arguments)


def test_what_the_page_on_running_it_names_exists() -> None:
    """Fields, settings and codes stand in the interface; lines of the log, in the code that writes them."""
    text = without_blocks((ROOT / "docs" / "running.md").read_text(encoding="utf-8"))
    named = {name for name in QUOTED.findall(text) if re.fullmatch(r"[/\w -]+", name)}
    commands = {name for name in named if name.startswith("raftdb ")}
    assert {name.split()[1] for name in commands} <= {*SUB_COMMANDS, *COMMANDS}
    # The names of metrics are compared with those of a running node (tests/e2e/test_metrics.py).
    elsewhere = {"fsync", "ulimit -v"} | {name for name in named if name.startswith("raftdb_")}
    logged = "".join(text for path, text in sources().items() if path.is_relative_to(ROOT / "raftdb"))
    unknown = {
        name
        for name in named - commands - elsewhere
        if not re.search(rf"(?<![\w-]){name}(?![\w-])", INTERFACE)
        and f'"{name}"' not in logged
        and not (name.startswith("deploy/") and (ROOT / name).exists())
    }
    assert unknown == set()


def test_every_name_in_the_architecture_exists() -> None:
    text = without_blocks((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    names = [name for name in QUOTED.findall(text) if re.fullmatch(r"(raftdb|storage|cli)(\.\w+)+", name)]
    assert len(names) > 50
    assert [name for name in names if not is_importable(name)] == []


@pytest.mark.parametrize(
    "name", ["raftdb.core.no_such", "raftdb.core.raft.Raft.no_such", "raftdb.nowhere.at_all"]
)
def test_a_name_that_is_not_there_is_found(name: str) -> None:
    assert not is_importable(name)


def test_every_node_that_the_readme_starts_has_settings_that_are_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [line.partition("  #")[0] for line in README.splitlines() if "raftdb serve" in line]
    peers = re.findall("^P=(.*)$", README, flags=re.MULTILINE)[0]
    started = set()
    for line in lines:
        before, _, flags = line.replace("$P", peers).partition(".venv/bin/raftdb serve")
        with monkeypatch.context() as environment:
            for variable in before.split():
                environment.setenv(*variable.split("="))
            started.add(config.load(given_flags(serve.make_context("serve", flags.split()).params)).id)
    assert started == {"n1", "n3", "n4"}


@pytest.mark.parametrize(
    "name", ["nowhere/test_it.py::test_it", "test_docs.py::test_it", "no_such_story.txt", "../README.md"]
)
def test_a_test_that_is_not_there_is_found(name: str) -> None:
    assert not is_there(name)


def test_drift_of_a_table_is_found() -> None:
    text = "## 1. One\n| a | b |\n|---|---|\n| `x` | 1 |\n| `y Z` | 2 |\n\n## 2. Two\n| a |\n|---|\n| `z` |\n"
    assert first_quoted(table(section(text, 1), "a")) == ["x", "y Z"]
    assert cells_of("| `[a\\|b]` | c |") == ["`[a|b]`", "c"]
    assert first_quoted(table(section(text, 2), "a")) == ["z"]
    with pytest.raises(KeyError):
        section(text, 3)
    with pytest.raises(ValueError, match="unpack"):
        table(text, "nothing")
    with pytest.raises(AssertionError, match="twice"):
        hazard_rows(f"| {HAZARD_IDS[0]} | a | b | c |\n" * 2)
    assert SECTION.findall("(interface, section\n4)") == ["4"]
    assert HAZARD_ID.findall(f"hazards {HAZARD_IDS[0]}, {HAZARD_IDS[-1]}; x{HAZARD_IDS[1]}") == [
        "B01",
        "B110",
    ]
