"""The detector of `conftest.py` detects: without this, a silent detector and a clean product look the same."""

import asyncio
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from blockbuster import BlockingError

from tests.conftest import FOLDERS, blocking_calls_detected

ROOT = Path(__file__).resolve().parent.parent

BLOCKING_TESTS = """
import asyncio
import time


async def test_sleeps():
    time.sleep(0)


async def test_sleeps_in_a_task_that_swallows_the_error():
    async def task():
        try:
            time.sleep(0)
        except Exception:
            pass

    await asyncio.create_task(task())


def test_sleeps_on_a_loop_of_its_own():
    async def main():
        time.sleep(0)

    asyncio.run(main())


async def test_awaits():
    await asyncio.sleep(0)


async def test_sleeps_in_a_thread():
    await asyncio.to_thread(time.sleep, 0)
"""


def code_of_the_product(source: str) -> Callable[[Path], object]:
    """A function `planted(path)` made of the source, whose frames look like those of a product file."""
    names: dict[str, object] = {}
    exec(compile(source, f"{FOLDERS[0].__path__[0]}planted.py", "exec"), names)
    return cast("Callable[[Path], object]", names["planted"])


async def test_a_sleep_in_a_coroutine_is_refused_and_noted(blocking_calls: list[str]) -> None:
    with pytest.raises(BlockingError):
        time.sleep(0)
    assert len(blocking_calls) == 1
    assert "time.sleep" in blocking_calls[0]
    assert __file__ in blocking_calls[0]
    blocking_calls.clear()  # expected here


async def test_a_file_read_by_the_product_on_the_loop_is_refused(
    blocking_calls: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    planted = code_of_the_product("def planted(path):\n    return path.read_text()")
    with pytest.raises(BlockingError):
        planted(file)
    blocking_calls.clear()  # expected here
    assert await asyncio.to_thread(planted, file) == "text"
    assert not blocking_calls


def test_leaving_the_detector_puts_every_function_back(blocking_calls: list[str]) -> None:
    watched = [(time, "sleep"), (os, "listdir"), (io.BufferedReader, "read")]
    before = [getattr(owner, name) for owner, name in watched]
    with blocking_calls_detected() as calls:
        assert vars(time)["sleep"] is not before[0]
    assert [getattr(owner, name) for owner, name in watched] == before
    assert not calls
    assert not blocking_calls


def test_blocking_tests_fail_and_others_pass(tmp_path: Path) -> None:
    """The whole way, in a pytest of its own: sleeping tests fail however they hide it, the others pass."""
    planted = tmp_path / "test_planted.py"
    planted.write_text(BLOCKING_TESTS)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-rA", "-q", str(planted)]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    # A test may be reported twice: failed by the raise, and in error by the note when it ends.
    reports = [line.split(" - ")[0].split("::") for line in done.stdout.splitlines() if "::" in line]
    failed = {name for outcome, name in reports if outcome.strip() in {"FAILED", "ERROR"}}
    passed = {name for outcome, name in reports if outcome.strip() == "PASSED"} - failed
    assert failed == {
        "test_sleeps",
        "test_sleeps_in_a_task_that_swallows_the_error",
        "test_sleeps_on_a_loop_of_its_own",
    }, done.stdout
    assert passed == {"test_awaits", "test_sleeps_in_a_thread"}, done.stdout
    assert done.returncode == 1
