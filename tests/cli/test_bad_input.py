"""What is typed wrong: one line that says so, an exit code, nothing on stdout and nothing written."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator

import pytest

from cli.main import run
from raftdb.machine.sessions import CloseSession, RegisterSession
from tests.bad_input import ONE_SHOT, SCRIPTS, assert_one_line
from tests.frontend.support import Harness, running
from tests.frontend.test_http_data import DatabaseNode


@pytest.fixture
async def http() -> AsyncIterator[Harness]:
    """What judges the commands is the server that ships, on a machine without a cluster."""
    async with running(node=DatabaseNode()) as harness:
        yield harness


async def assert_refused(
    http: Harness, capsys: pytest.CaptureFixture[str], arguments: list[str], exit_code: int
) -> None:
    code = await asyncio.to_thread(run, ["--connect", f"127.0.0.1:{http.port}", *arguments])
    out, errors = capsys.readouterr()
    assert (code, out) == (exit_code, "")
    assert_one_line(errors)
    asked = {type(operation) for operation, _ in http.node.executed}
    assert asked <= {RegisterSession, CloseSession}


@pytest.mark.parametrize("case", ONE_SHOT)
async def test_a_bad_one_shot_command(http: Harness, capsys: pytest.CaptureFixture[str], case: str) -> None:
    arguments, exit_code = ONE_SHOT[case]
    await assert_refused(http, capsys, arguments, exit_code)


@pytest.mark.parametrize("case", SCRIPTS)
async def test_a_bad_command_in_the_shell(
    http: Harness, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """From a pipe, for one of the scripts is longer than a command line may be; what follows it is not run."""
    script, exit_code = SCRIPTS[case]
    stdin = io.TextIOWrapper(io.BytesIO(f"{script}\nset k not-run\n".encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    await assert_refused(http, capsys, ["shell"], exit_code)
