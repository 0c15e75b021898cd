"""No line ends a shell: whatever is typed, it does what it says, or raises one of our errors, in words for people."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prompt_toolkit.document import Document

from cli.console.failures import as_ours, describe, exit_code_of
from cli.console.render import quote
from cli.line import syntax, vocabulary
from cli.line.highlight import spans
from cli.line.lexer import split
from cli.line.suggest import Kind, Wanted, argument_hint, suggest, wanted
from cli.prompt.completer import ShellLexer
from cli.prompt.finder import Finder, _paths
from cli.prompt.history import ShellHistory
from cli.run import repeat
from cli.run.context import Quit
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError
from tests.cli.prompt import Prompt
from tests.client.fake_node import FakeCluster, fake_cluster

ODD_WORDS = (
    "~nosuchuser/x",
    "~",
    '"a\\0b"',
    '"\\xff\\xfe"',
    '""',
    "\ud800",
    "n" * 300,
    "d/" * 3_000,
    ".",
    "..",
    "not/there",
    "file/below",
    "folder",
    "closed/file",
    "-1",
    "1e400",
    "nan",
    "99999999999999999999999",
    "１",
    "\xa0",
    "\x1b[2J",
    "\u202e",
    "http://[::1",
    "a:b:c",
    "#",
    "'",
)

word = st.one_of(
    st.sampled_from(ODD_WORDS),
    st.text(st.characters(exclude_characters="/"), max_size=8),
    st.binary(max_size=8).map(quote),
    st.sampled_from(sorted(vocabulary.VOCABULARY)),
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A command with about as many words as it takes."""
    entry = vocabulary.VOCABULARY[draw(st.sampled_from(sorted(vocabulary.VOCABULARY)))]
    fewest, most = syntax.arity(entry.items)
    count = draw(st.integers(fewest, (fewest if most is None else most) + 1))
    return " ".join([entry.name, *(draw(word) for _ in range(count))])


line = lines()


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[FakeCluster]:
    with fake_cluster(leader=1) as cluster:
        yield cluster


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lines are typed: what they name is here, or nowhere."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(repeat, "sleep", interrupt)
    return tmp_path


def failure_of(prompt: Prompt, text: str) -> RaftdbError | None:
    """How the line fails; any other exception is what must not be."""
    try:
        prompt.type(text)
    except RaftdbError as error:
        return error
    except Quit:
        pass
    except KeyboardInterrupt:
        assert ".watch" in text.lower()
    return None


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(line, st.lists(word, max_size=4).map(" ".join)))
def test_no_line_ends_a_shell(shared_cluster: FakeCluster, folder: Path, text: str) -> None:
    with Client(shared_cluster.addresses, timeout_ms=2_000) as client:
        prompt = Prompt(client)
        try:
            split(text)
        except ValueError:
            return
        error = failure_of(prompt, text)
    if error is not None:
        told = describe(error, text, program=None)
        assert "internal error" not in told
        assert "Errno" not in told
        assert exit_code_of(error) in (1, 2, 3, 4, 5)


@pytest.mark.parametrize("name", [".read", ".backup"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("~nosuchuser/x", "there is no user 'nosuchuser'"),
        ('"a\\0b"', "a path holds no NUL byte"),
        ('""', "a path is not empty"),
        ("n" * 300, os.strerror(errno.ENAMETOOLONG)),
        ("d/" * 3_000, os.strerror(errno.ENAMETOOLONG)),
        ("file/below", os.strerror(errno.ENOTDIR)),
        ("not/there", os.strerror(errno.ENOENT)),
        ("loop", os.strerror(errno.ELOOP)),
    ],
)
def test_a_path_that_cannot_be_used_is_an_error_that_says_why(
    prompt: Prompt, folder: Path, name: str, path: str, why: str
) -> None:
    (folder / "loop").symlink_to("loop")
    with pytest.raises(RaftdbError) as caught:
        prompt.type(f"{name} {path}")
    assert why in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(("name", "why"), [(".read", "Is a directory"), (".backup", "is a folder")])
def test_a_folder_is_none_of_the_files_that_are_meant(
    prompt: Prompt, folder: Path, name: str, why: str
) -> None:
    with pytest.raises(RaftdbError, match=why):
        prompt.type(f"{name} folder")


@pytest.mark.parametrize("name", [".read", ".backup"])
def test_so_is_what_the_system_does_not_permit(
    prompt: Prompt, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, *arguments: object, **options: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    # The tests may run as a user who is permitted everything.
    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(RaftdbError, match="Permission denied"):
        prompt.type(f"{name} file{'' if name == '.read' else '.new'}")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EIO, "Input/output error", "/disk"), "/disk: Input/output error"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError("cut"), "cut"),
        (ValueError("embedded null byte"), "a path holds no NUL byte"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"), "what was given is not valid text (UTF-8)"),
        (MemoryError(), "there is not enough memory"),
        (KeyError("x"), "internal error: KeyError: 'x'"),
    ],
)
def test_errors_of_python_have_our_words(error: Exception, message: str) -> None:
    assert as_ours(error).message == message


def test_what_nobody_has_thought_of_is_an_error_too(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("cli.admin.nodes.show_status", fail)
    with pytest.raises(RaftdbError, match="internal error: ZeroDivisionError: a bug"):
        prompt.type(".status")


@given(st.one_of(line, st.text()), st.integers(0, 40))
def test_nothing_that_is_being_typed_confuses_what_helps_with_it(text: str, cursor: int) -> None:
    cursor = min(cursor, len(text))
    wanted(text, cursor)
    suggest(text, cursor, [b"\xff"], nodes=["n1", "\udcff"], paths=[b"a\0b"], local=True)
    argument_hint(text, cursor)
    spans(text)
    ShellLexer().lex_document(Document(text))(0)


@pytest.mark.parametrize("path", [b"a\0b", b"~nosuchuser/", b"n" * 300 + b"/", b"d/" * 3_000])
def test_paths_that_cannot_be_are_completed_by_nothing(path: bytes) -> None:
    assert not _paths(path)
    finder = Finder(lambda: ())
    assert finder.remembered(Wanted(Kind.PATH, path)) is None


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ("~nosuchuser/h", "there is no user 'nosuchuser'"),
        ("n" * 300, os.strerror(errno.ENAMETOOLONG)),
        ("folder", os.strerror(errno.EISDIR)),
        ("file/below", os.strerror(errno.EEXIST)),
    ],
)
def test_a_history_that_cannot_be_is_told_and_does_without(
    folder: Path, chosen: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFTDB_HISTORY", chosen)
    history = ShellHistory.of_user()
    assert why in (history.problem or "")
    history.append_string("get a")
    history.save()


def test_a_history_that_keeps_nothing_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "pipe")
    for chosen in ("pipe", os.devnull):
        monkeypatch.setenv("RAFTDB_HISTORY", chosen)
        history = ShellHistory.of_user()
        history.append_string("get a")
        history.save()
        assert history.problem is None
