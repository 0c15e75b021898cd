"""The house rules as pure functions: source text in, `Problem`s out. `test_tidy.py` asks them about this project.

The rules are few, and each keeps the project readable by somebody new to it: a file is one idea, a function is one
screen, everything public says what it is, a package starts with an essay, and no text knows the machine it was
written on.
"""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.surface import past_the_surface

PRODUCT = ("raftdb", "storage", "cli")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
"""Lines of a function from `def` to its end, without its docstring and decorators: about one screen."""
ESSAY_LINES_MIN = 5

TOP_LEVEL = frozenset(
    (
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        *PRODUCT,
        "tests",
        "benchmarks",
        "data",
        "docs",
        "deploy",
    )
)
"""What may stand at the top of the project, beside dot-files."""

AROUND_THE_NODE = ("raftdb/server/", "raftdb/frontend/", "raftdb/transport/", "cli/")
"""What knows a node by its driver and its view, and must not reach through them."""

# Written in pieces, so that this file does not break its own rule.
FORBIDDEN_TEXT = {
    "a path of one machine": re.compile(r"(?<![\w.}\])-])/(?:work|root)/|/hom[e]/\w|/tm[p]/venv"),
    "a package index host": re.compile("pypi" + r"\.org|python" + r"hosted\.org"),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


class Problem(NamedTuple):
    """One broken rule: which, where (`path` or `path:Class.function`), how much (lines, or 1) and in words."""

    rule: str
    where: str
    measure: int
    message: str


def definitions(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Functions and classes with their dotted names, methods included; functions inside functions are not."""
    for node in body:
        if isinstance(node, Definition):
            yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from definitions([*node.body, *node.orelse], prefix)


def docstring_lines(node: Function) -> int:
    """How many source lines the docstring of a function takes."""
    first = node.body[0]
    if ast.get_docstring(node) is None or first.end_lineno is None:
        return 0
    return first.end_lineno - first.lineno + 1


def too_long(path: str, text: str) -> Iterator[Problem]:
    """Files over `FILE_LINES_MAX` and functions over `FUNCTION_LINES_MAX` lines."""
    lines = len(text.splitlines())
    if lines > FILE_LINES_MAX:
        yield Problem("file-lines", path, lines, f"{lines} lines, {FILE_LINES_MAX} allowed")
    for name, node in definitions(ast.parse(text).body):
        if isinstance(node, Function) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1 - docstring_lines(node)
            if lines > FUNCTION_LINES_MAX:
                message = f"{lines} lines, {FUNCTION_LINES_MAX} allowed"
                yield Problem("function-lines", f"{path}:{name}", lines, message)


def is_exempt(node: Definition) -> bool:
    """True for overloads, property setters and overrides, which are described where they are first declared."""
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"overload", "override", "setter"})


def undocumented(path: str, text: str) -> Iterator[Problem]:
    """Modules, and public classes, functions and methods, without a docstring."""
    tree = ast.parse(text)
    if not ast.get_docstring(tree):
        yield Problem("docstring", path, 1, "the module has no docstring")
    for name, node in definitions(tree.body):
        is_private = any(part.startswith("_") for part in name.split("."))
        if not is_private and not is_exempt(node) and not ast.get_docstring(node):
            yield Problem("docstring", f"{path}:{name}", 1, "public, and has no docstring")


def without_essay(path: str, text: str) -> Iterator[Problem]:
    """Packages whose `__init__` does not explain them in at least `ESSAY_LINES_MIN` lines."""
    if not path.endswith("/__init__.py"):
        return
    essay = ast.get_docstring(ast.parse(text)) or ""
    lines = sum(1 for line in essay.splitlines() if line.strip())
    if lines < ESSAY_LINES_MIN:
        yield Problem("essay", path, 1, f"the essay has {lines} lines, {ESSAY_LINES_MIN} wanted")


def with_forbidden_text(path: str, text: str) -> Iterator[Problem]:
    """Texts that name what only exists on the machine or network of their author."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN_TEXT.items():
            if pattern.search(line):
                yield Problem("forbidden-text", path, 1, f"line {number} has {what}: {line.strip()[:80]}")


def reaching_past(path: str, text: str) -> Iterator[Problem]:
    """Places around a node that reach into its consensus state, where they are to read `raftdb.node.view`."""
    if not path.startswith(AROUND_THE_NODE):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr == "raft":
            yield Problem("reaches-past", f"{path}:{node.lineno}", 1, "reads past NodeView")


def rendering_urls(path: str, text: str) -> Iterator[Problem]:
    """Texts that put a scheme before a value: `Endpoint.url` does, which alone knows which scheme that is."""
    if path == "raftdb/endpoint.py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            if any(re.search("^://|https?://$", str(part)) for part in parts):
                yield Problem("url", f"{path}:{node.lineno}", 1, "renders a URL beside Endpoint.url")


def misplaced(paths: Sequence[str]) -> Iterator[Problem]:
    """Files whose first path part is not allowed at the top of the project."""
    for name in sorted({path.partition("/")[0] for path in paths}):
        if name not in TOP_LEVEL and not name.startswith("."):
            yield Problem("top-level", name, 1, "not allowed at the top of the project")


def packages_incomplete(paths: Sequence[str]) -> Iterator[Problem]:
    """Product folders with modules but without the `__init__.py` that explains them."""
    folders = {path.rpartition("/")[0] for path in paths if is_product(path) and path.endswith(".py")}
    for folder in sorted(folders):
        if f"{folder}/__init__.py" not in paths:
            yield Problem("essay", folder, 1, "a package without __init__.py")


def past_surfaces(texts: Mapping[str, str]) -> Iterator[Problem]:
    """Imports from other packages that reach past what these list as theirs to use; see `surface.py`."""
    product = {path: text for path, text in texts.items() if is_product(path)}
    beside = {path: text for path, text in texts.items() if path.startswith("benchmarks/")}
    for where, message in past_the_surface(product, beside):
        yield Problem("surface", where, 1, message)


def is_product(path: str) -> bool:
    """True for what is installed; tests and benchmarks are free in size and docstrings."""
    return path.partition("/")[0] in PRODUCT


def project_files(root: Path) -> list[str]:
    """Paths, relative to `root`, of the files that git has or would take; of all but dot-files without git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (root / ".git").exists():
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        names = set(done.stdout.split("\0")) - {""}
    else:
        names = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}
        hidden = re.compile(r"(^|/)(\.(?!ci/)|__pycache__/|[^/]+\.egg-info/|data/.)")
        names = {name for name in names if not hidden.search(name)}
    return sorted(name for name in names if (root / name).is_file())


def find_problems(root: Path) -> list[Problem]:
    """All broken rules of the project at `root`, in the order of the paths."""
    paths = project_files(root)
    problems = [*misplaced(paths), *packages_incomplete(paths)]
    texts: dict[str, str] = {}
    for path in paths:
        try:
            text = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or the like: no rule is about it
        problems += with_forbidden_text(path, text)
        if path.endswith(".py"):
            texts[path] = text
        if is_product(path) and path.endswith(".py"):
            problems += too_long(path, text)
            problems += undocumented(path, text)
            problems += reaching_past(path, text)
            problems += rendering_urls(path, text)
            problems += without_essay(path, text)
    return [*problems, *past_surfaces(texts)]


def judge(problems: Sequence[Problem], exceptions: Mapping[tuple[str, str], int]) -> list[str]:
    """What is wrong, in words: problems that are no exception, exceptions that grew, and ones no longer needed.

    `exceptions` maps (rule, where) to the measure granted. It may only shrink: a lower measure must be written down.
    """
    measures = {(problem.rule, problem.where): problem.measure for problem in problems}
    complaints = []
    for problem in problems:
        granted = exceptions.get((problem.rule, problem.where))
        if granted is None:
            complaints.append(f"{problem.where}: {problem.message} [{problem.rule}]")
        elif problem.measure > granted:
            complaints.append(
                f"{problem.where}: grew beyond its exception: {problem.message}, {granted} granted"
            )
    for (rule, where), granted in sorted(exceptions.items()):
        measure = measures.get((rule, where), 0)
        if measure == 0:
            complaints.append(f"{where}: the exception from {rule} is no longer needed: remove it")
        elif measure < granted:
            complaints.append(f"{where}: lower the exception from {rule} to {measure}")
    return complaints
