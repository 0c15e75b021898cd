"""What every test runs under: a blocking call on the event loop fails the test that made it.

blockbuster replaces `time.sleep`, file, socket and lock operations by versions that raise in a thread whose event
loop is running. `time.sleep` is watched everywhere, tests included; the others where a frame of the product is on
the stack, so that a test may read a file in its coroutine. Raising alone is not enough: a task nobody awaits, or a
broad `except`, would swallow the error and the test would pass. So each call is also noted, and the note is asserted
to be empty when the test ends.

What it cannot see: work inside C extensions. That no LMDB commit happens on the loop is asserted by the writer.
"""

import importlib.util
import shutil
import tempfile
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import blockbuster.blockbuster
import pytest
from blockbuster import BlockBuster, BlockingError
from blockbuster.blockbuster import BlockBusterFunction
from hypothesis import settings

# No test asserts how long something takes: a busy machine is no failure.
settings.register_profile("raftdb", deadline=None)
settings.load_profile("raftdb")

PRODUCT = ("raftdb", "storage", "cli")
STACK_FRAMES_MAX = 6
"""How many frames of a blocking call are shown: enough to see who called, few enough to read."""


def product_folders() -> list[types.ModuleType]:
    """Stand-ins for the product's packages that carry their folders: blockbuster would import the real ones."""
    stand_ins = []
    for name in PRODUCT:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            continue
        stand_in = types.ModuleType(name)
        # With the separator, or `cli/` would take in `client/` of a neighbour.
        stand_in.__path__ = [next(iter(spec.submodule_search_locations)) + "/"]
        stand_ins.append(stand_in)
    return stand_ins


FOLDERS = product_folders()


@contextmanager
def blocking_calls_detected() -> Iterator[list[str]]:
    """Raise at each blocking call on a running event loop, and yield the list where they are noted.

    Asserts on leaving that every replaced function is the original again.
    """
    calls: list[str] = []

    class NotedBlockingError(BlockingError):
        """As its base, and remembered even if somebody catches it."""

        def __init__(self, function: str) -> None:
            super().__init__(function)
            stack = traceback.format_stack()[-STACK_FRAMES_MAX - 2 : -2]
            calls.append(f"{function}, called from\n{''.join(stack)}")

    detector = BlockBuster(FOLDERS)
    detector.functions["time.sleep"] = BlockBusterFunction(None, "time.sleep")
    # A follower writes its log on the loop while the disk is quick (`storage.writer`).
    detector.functions["os.stat"].can_block_in("storage/env.py", {"_settle_file"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blockbuster.blockbuster, "BlockingError", NotedBlockingError)
        detector.activate()
        try:
            yield calls
        finally:
            detector.deactivate()
    left_over = [
        name
        for name, function in detector.functions.items()
        if function.activated or getattr(function.module, function.func_name, None) != function.original_func
    ]
    assert not left_over, f"still replaced after the test: {left_over}"


@pytest.fixture(autouse=True)
def blocking_calls() -> Iterator[list[str]]:
    """Blocking calls on the event loop noted so far; the test fails if there are any when it ends.

    On for every test, for a synchronous one may run a loop too; without a running loop nothing is refused.
    """
    with blocking_calls_detected() as calls:
        yield calls
    assert not calls, "blocking call on the event loop: " + "\n".join(calls)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can get into, which pytest's own are not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    for found in (path, *path.rglob("*")):
        if found.is_dir() and not found.is_symlink():
            found.chmod(0o700)
    shutil.rmtree(path)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="simulate thousands of seeds, and wait for slow networks"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Which worker gets which tests, if there are several."""
    from tests.groups import GroupScheduling

    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What does more with `--long` is marked `long`."""
    for item in items:
        if "is_long" in getattr(item, "fixturenames", ()):
            item.add_marker("long")


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    """True with `--long`."""
    return bool(request.config.getoption("--long"))
