"""The secrets of a cluster: where they come from, what is refused, and that they are shown nowhere."""

import asyncio
import os
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from raftdb.server.config import SECRETS, BadSetting, Settings, load
from raftdb.server.reloading import Reloaded, Reloading
from raftdb.server.secret_file import parse_secrets, read_secrets, secrets_of
from raftdb.server.security import Security
from tests.log_records import recorded

ONE, TWO = "one-" * 8, "two." * 8
TOKEN = "t" * 32
SHORT = "only-thirty-one-bytes-in-length"
WAIT_S = 10.0


def secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    file = path / "secret"
    file.write_text(text)
    file.chmod(mode)
    return file


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BadSetting) as refused:
        call()
    assert refused.value.exit_code == 2
    shown = "".join(traceback.format_exception(refused.value)) + f"{refused.value.hint}"
    for secret in (ONE, TWO, SHORT, TOKEN):
        assert secret not in shown
    return shown


def test_a_file_has_one_secret_a_line_and_the_first_is_used(tmp_path: Path) -> None:
    text = f"# made in May\n{ONE}\n\n  {TWO}  \n{ONE}\nnone\n"
    assert read_secrets(secret_file(tmp_path, text)) == (ONE.encode(), TWO.encode(), None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 secrets"),
        ("# none\n", "0 secrets"),
        (f"{ONE}\n{SHORT}\n", "line 2 of .* has 31 bytes"),
        ("x" * 1025, "1025 bytes"),
        ("\n".join(f"{ONE}{number}" for number in range(9)), "9 secrets"),
        ("x" * 65537, "too long"),
    ],
)
def test_what_is_no_secret_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = secret_file(tmp_path, text)
    with pytest.raises(BadSetting, match=words):
        read_secrets(path)
    assert SHORT not in refusal(lambda: read_secrets(path))


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o666, 0o601])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, ONE, mode)
    if os.getuid() == 0 and mode == 0o640:
        assert read_secrets(path) == (ONE.encode(),), "the way in which service managers hand secrets over"
        return
    said = refusal(lambda: read_secrets(path))
    assert f"mode {mode:04o}" in said
    assert "chmod 600" in said


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o600])
def test_so_is_a_file_of_settings_with_a_secret(tmp_path: Path, name: str, mode: int) -> None:
    config = tmp_path / "n1.toml"
    config.write_text(f'{name} = "{TOKEN}"\n')
    config.chmod(mode)
    if mode == 0o600:
        assert getattr(load({"config": str(config)}), name) == TOKEN
        return
    said = refusal(lambda: load({"config": str(config)}))
    assert f"has the secret {name}" in said
    assert f"mode {mode:04o}" in said
    config.write_text('listen = "127.0.0.1:8001"\n')
    assert load({"config": str(config)}).id == "n1", "without a secret anybody may read it"


def test_what_is_no_readable_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "noise").write_bytes(b"\xff" * 40)
    (tmp_path / "noise").chmod(0o600)
    assert "no such file" in refusal(lambda: read_secrets(tmp_path / "none"))
    assert "no file" in refusal(lambda: read_secrets(tmp_path / "pipe"))
    refusal(lambda: read_secrets(tmp_path))
    assert "not text" in refusal(lambda: read_secrets(tmp_path / "noise"))


def test_a_secret_from_the_environment_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAFTDB_CLUSTER_SECRET", ONE)
    settings = load({})
    assert secrets_of(settings) == (ONE.encode(),)
    security = Security(settings)
    for shown in (repr(settings), str(settings), repr(security), repr(security.proof), repr(vars(security))):
        assert ONE not in shown
    assert "exclude" in refusal(lambda: load({"cluster_secret_file": "secret"}))
    monkeypatch.setenv("RAFTDB_CLUSTER_SECRET", SHORT)
    refusal(lambda: Security(load({})))


def test_without_a_setting_nobody_proves_anything() -> None:
    assert secrets_of(Settings()) == (None,)
    assert not Security(Settings()).proof.is_required
    assert parse_secrets("none", "here") == (None,)


@asynccontextmanager
async def running(reloading: Reloading) -> AsyncIterator[Reloading]:
    task = asyncio.create_task(reloading.run())
    try:
        yield reloading
    finally:
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("how", ["written", "replaced", "asked"])
async def test_a_file_is_read_again_when_it_changes_and_when_that_is_asked(tmp_path: Path, how: str) -> None:
    path = secret_file(tmp_path, ONE)
    found: list[object] = []

    def read() -> Callable[[], None]:
        secrets = read_secrets(path)
        return lambda: found.append(secrets)

    look_s = 60.0 if how == "asked" else 0.001
    parts = [Reloaded("the secret", (path,), read)]
    made = await asyncio.to_thread(Reloading, parts, look_s=look_s)
    async with running(made) as reloading:
        if how == "replaced":
            (tmp_path / "new").mkdir()
            os.replace(secret_file(tmp_path / "new", f"{TWO}\n{ONE}\n"), path)
        else:
            path.write_text(f"{TWO}\n{ONE}\n")
        if how == "asked":
            reloading.ask()
        await until(lambda: found[-1:] == [(TWO.encode(), ONE.encode())])


async def test_what_cannot_be_used_changes_nothing_and_is_logged_without_the_secret(tmp_path: Path) -> None:
    path = secret_file(tmp_path, ONE)
    security = await asyncio.to_thread(Security, Settings(cluster_secret_file=path))
    with recorded() as records:
        async with running(security.reloading) as reloading:
            for text, mode in ((SHORT, 0o600), (TWO, 0o644)):
                path.write_text(text)
                path.chmod(mode)
                logged = len(records)
                reloading.ask()
                await until(lambda before=logged: len(records) > before)  # type: ignore[misc]
    assert security.proof.is_required
    said = [f"{record.getMessage()} {vars(record)}" for record in records]
    assert "stays in force" in said[0]
    assert not any(SHORT in line or TWO in line or ONE in line for line in said)
