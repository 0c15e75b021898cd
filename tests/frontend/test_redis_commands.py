"""What Redis commands answer, byte for byte: stories that were told by Redis itself, and held against it again here.

Each file in `redis_stories` is a story on an empty database: a line as a person would type it, and the reply. `...`
stands for a reply that is another one each time.
"""

import ast
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frontend.redis_random import Talk
from tests.frontend.redis_support import Client, real_reply, request, serve

STORIES = sorted((Path(__file__).parent / "redis_stories").glob("*.txt"))
STARTED_S = 20.0


def lines_of(story: Path) -> list[tuple[str, bytes | None]]:
    pairs = [line.rpartition(" => ") for line in story.read_text().splitlines()]
    return [(line, None if reply == "..." else ast.literal_eval(reply)) for line, _, reply in pairs]


def told(lines: list[tuple[str, bytes | None]], replies: list[bytes]) -> list[tuple[str, bytes | None]]:
    """The story as it went, without what is another reply each time."""
    return [
        (line, None if expected is None else reply)
        for (line, expected), reply in zip(lines, replies, strict=True)
    ]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
async def test_each_story_goes_as_it_is_told(story: Path) -> None:
    lines = lines_of(story)
    client = Client(serve()[1])
    assert told(lines, [await client.tell(line) for line, _ in lines]) == lines


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real Redis, without a disk."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server: install Debian's package of that name")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any("Ready to accept connections" in line for line in process.stdout)
        yield port
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_redis_itself_tells_the_same_stories(story: Path, redis_port: int) -> None:
    lines = lines_of(story)
    with socket.create_connection(("127.0.0.1", redis_port), timeout=STARTED_S) as connection:
        stream = connection.makefile("rwb")
        replies = []
        for line in ["FLUSHALL", *(line for line, _ in lines)]:
            stream.write(line.encode() + b"\r\n")
            stream.flush()
            replies.append(real_reply(stream))
    assert told(lines, replies[1:]) == lines


@pytest.mark.parametrize("seed", range(4))
async def test_random_commands_are_answered_as_redis_answers_them(
    seed: int, redis_port: int, is_long: bool
) -> None:
    talk, client = Talk(seed), Client(serve()[1])
    with socket.create_connection(("127.0.0.1", redis_port), timeout=STARTED_S) as connection:
        stream = connection.makefile("rwb")
        history: list[list[str]] = []
        for words in [["FLUSHALL"], *(talk.next() for _ in range(20_000 if is_long else 500))]:
            stream.write(request(*words))
            stream.flush()
            history.append(words)
            told = " | ".join(" ".join(words) for words in history[:-41:-1])
            assert await client.ask(*words) == real_reply(stream), told
