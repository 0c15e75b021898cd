#!/usr/bin/env python3
"""Make the blocking half of the client from the asynchronous one: `python .ci/unasync.py`.

Each `raftdb/client/async_NAME.py` whose `sync_NAME.py` begins with `HEADER` is the source of that. What is different is
what a reader would expect: `async` and `await` go, names lose their `Async`, and modules of the other half are named
`sync_` instead of `async_`. Lines that end in `# async only` go, too. Docstrings and comments stay as they are, so they
are written for both. Ruff drops the imports that nobody needs any more, sorts the others, and breaks lines anew.

Considered and rejected: `unasync`, the library. It does the easy half of this (words), and neither annotations in
quotes, nor lines of one half only, nor the order of imports and the breaking of lines.
"""

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "raftdb" / "client"
HEADER = "# Made from {source} by .ci/unasync.py: what is to be changed is changed there.\n"
ONLY = re.compile(r".*# async only\n")

WORDS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "StopAsyncIteration": "StopIteration",
    "asynccontextmanager": "contextmanager",
}
PROMISES = re.compile(r"\b(?:Awaitable\[|Coroutine\[Any, Any, )(\w+)\]")
"""What a call of a coroutine function returns, as a type, and within it what awaiting that brings."""


def translate(source: str) -> str:
    """The blocking half of a module, not formatted."""
    source = PROMISES.sub(
        r"\1", "".join(line for line in source.splitlines(True) if not ONLY.fullmatch(line))
    )
    lines = source.splitlines(True)
    # From the end, so that what is still to be changed stays where it is.
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        if token.type not in (tokenize.NAME, tokenize.STRING) or token.string.startswith('"""'):
            continue
        (row, start), (end_row, end) = token.start, token.end
        line = lines[row - 1]
        if token.string in ("async", "await"):
            lines[row - 1] = line[:start] + line[end:].lstrip(" ")
        elif row == end_row:
            lines[row - 1] = line[:start] + _word(token.string) + line[end:]
    return "".join(lines)


def _word(word: str) -> str:
    word = WORDS.get(word, word)
    return re.sub(r"\basync_", "sync_", re.sub(r"\b(_?)Async(?=[A-Z])", r"\1", word))


def generated(source: Path) -> str:
    """The text of the blocking module that belongs to an asynchronous one."""
    text = HEADER.format(source=source.name) + translate(source.read_text(encoding="utf-8"))
    name = ["--stdin-filename", str(target_of(source)), "-"]
    for command in (
        ["check", "--quiet", "--fix-only", "--unsafe-fixes", "--select", "F401,I,UP028"],
        ["format", "--config", "format.skip-magic-trailing-comma=true"],
    ):
        ruff = [sys.executable, "-m", "ruff", *command, *name]
        text = subprocess.run(ruff, cwd=ROOT, input=text, capture_output=True, text=True, check=True).stdout
    return text


def target_of(source: Path) -> Path:
    """Where the blocking half of a module is."""
    return source.with_name(source.name.replace("async_", "sync_", 1))


def sources() -> list[Path]:
    """The modules whose other half is made."""
    return [
        source
        for source in sorted(CLIENT.glob("async_*.py"))
        if target_of(source).exists()
        and target_of(source).read_text(encoding="utf-8").startswith(HEADER.format(source=source.name))
    ]


def main() -> int:
    """Write every module of the blocking half anew."""
    for source in sources():
        target_of(source).write_text(generated(source), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
