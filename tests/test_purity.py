"""What importing means, seen from fresh interpreters: modules stand alone, pure packages stay pure, one-shots light.

import-linter reads the imports of our source; this test sees what is really loaded, by whatever way.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("raftdb", "storage", "cli")

IMPORT_ALONE = """
import importlib, json, sys, threading, traceback
names = json.loads(sys.argv[1])
threads = threading.active_count()
families = {name.partition(".")[0] for name in names}
failures = {}
for name in names:
    # As if the interpreter were fresh: what is foreign stays loaded, what is ours goes.
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] in families]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except BaseException:
        failures[name] = traceback.format_exc(limit=-4)
    if threading.active_count() > threads:
        failures.setdefault(name, "started a thread")
        threads = threading.active_count()
json.dump(failures, sys.stderr)
"""

IMPORT_ALL = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
json.dump(sorted(sys.modules), sys.stderr)
"""

RUN_ONE_SHOT = """
import json, runpy, sys
sys.argv[0] = "raftdb"
try:
    runpy.run_module("raftdb", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    code = stop.code
else:
    code = 0
json.dump([code or 0, sorted(sys.modules)], sys.stderr)
"""

NO_LOOP = ("asyncio", "uvloop", "aiohttp")
NO_DISK = ("lmdb", "storage")
NO_CHANCE = ("random", "secrets", "uuid")
PURE: dict[str, tuple[str, ...]] = {
    "raftdb.core": (
        *NO_LOOP,
        *NO_DISK,
        *NO_CHANCE,
        "logging",
        "socket",
        "threading",
        "cbor2",
        "raftdb.commands",
    ),
    "raftdb.commands": (*NO_LOOP, *NO_DISK, *NO_CHANCE, "logging", "socket", "raftdb.core"),
    "raftdb.errors": (*NO_LOOP, *NO_DISK, "logging", "socket"),
    "raftdb.machine": (*NO_LOOP, *NO_DISK, "socket", "raftdb.node"),
    "raftdb.wire": (*NO_LOOP, *NO_DISK, "socket", "raftdb.machine", "raftdb.node"),
    "storage": (*NO_LOOP, "raftdb", "cli", "prompt_toolkit"),
}
"""Package or module to what must not be loaded after all of its modules were imported."""

HEAVY = (*NO_LOOP, *NO_DISK, "prompt_toolkit", "raftdb.server", "raftdb.node", "raftdb.core")
"""What a one-shot command does not load, to be useful within 150 ms."""


def modules_of(root: Path, *packages: str) -> list[str]:
    """Dotted names of all modules of the packages (or of a single module) in the project at `root`."""
    names = []
    for package in packages:
        place = root.joinpath(*package.split("."))
        files = sorted([*place.rglob("*.py"), *place.parent.glob(f"{place.name}.py")])
        for file in files:
            parts = file.relative_to(root).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def fresh_python(
    code: str, *arguments: str, root: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter at `root`; our reports come on stderr, so stdout is what the code prints."""
    command = [sys.executable, "-c", code, *arguments]
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAFTDB_", "PYTHON"))
    }
    variables |= {"PYTHONPATH": str(root), **environment}
    return subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, check=False, timeout=300
    )


def import_failures(root: Path) -> dict[str, str]:
    """Module to traceback, for each module of the project at `root` that cannot be imported first and alone."""
    done = fresh_python(IMPORT_ALONE, json.dumps(modules_of(root, *PRODUCT)), root=root)
    assert done.stdout == "", "importing prints"
    failures: dict[str, str] = json.loads(done.stderr)
    return failures


def loaded_by(root: Path, package: str) -> set[str]:
    """Names of all modules loaded after importing every module of the package in a new interpreter."""
    names = modules_of(root, package)
    assert names, f"{package} has no modules"
    done = fresh_python(IMPORT_ALL, json.dumps(names), root=root)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr))


def impurities(root: Path, package: str) -> set[str]:
    """What the package loads and must not."""
    return loaded_by(root, package) & set(PURE[package])


def test_every_module_can_be_imported_first_and_alone() -> None:
    failures = import_failures(ROOT)
    assert not failures, "\n".join(f"{name}: {failure}" for name, failure in failures.items())


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_load_nothing_impure(package: str) -> None:
    assert not impurities(ROOT, package)


class OneAnswer(BaseHTTPRequestHandler):
    """A leader that has executed every command: its result is always `satu`."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"result": "satu", "index": 7, "term": 1, "revision": 3}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the test looks at the client."""


@contextmanager
def answering_node() -> Iterator[str]:
    """The HOST:PORT of a node that answers every command, until the context ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), OneAnswer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_one_shot_command_loads_no_server_no_shell_and_no_event_loop() -> None:
    with answering_node() as address:
        done = fresh_python(RUN_ONE_SHOT, "get", "kunci", RAFTDB_URL=address)
    report = done.stderr.rpartition("\n")[2]
    assert report.startswith("["), done.stderr
    code, loaded = json.loads(report)
    assert (code, done.stdout.strip()) == (0, "satu"), done.stderr[:2000]
    assert not set(loaded) & set(HEAVY)


def planted_project(root: Path, files: dict[str, str]) -> Path:
    """A project of nothing but the given modules, in packages that come before installed ones of the same name."""
    for name, text in files.items():
        for folder in [*Path(name).parents][:-1]:
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / "__init__.py").touch()
        (root / name).write_text(text)
    return root


def test_modules_that_need_others_first_or_start_threads_are_found(tmp_path: Path) -> None:
    files = {
        "storage/chicken.py": "from storage.egg import EGG\nCHICKEN = 1\n",
        "storage/egg.py": "from storage.chicken import CHICKEN\nEGG = 1\n",
        "storage/fine.py": "import storage\n",
        "storage/thread.py": "import threading, time\nthreading.Thread(target=time.sleep, args=[0.5]).start()\n",
    }
    failures = import_failures(planted_project(tmp_path, files))
    assert sorted(failures) == ["storage.chicken", "storage.egg", "storage.thread"]
    assert "circular import" in failures["storage.egg"]


@pytest.mark.parametrize("package", PURE)
@pytest.mark.parametrize("way", ["import asyncio", "import raftdb.helper"])
def test_impurity_is_found_by_every_way(package: str, way: str, tmp_path: Path) -> None:
    path = package.replace(".", "/")
    module = f"{path}.py" if package == "raftdb.errors" else f"{path}/planted.py"
    planted_project(tmp_path, {"raftdb/helper.py": "import asyncio\n", module: way + "\n"})
    assert "asyncio" in impurities(tmp_path, package)
