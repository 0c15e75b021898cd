"""The note that everybody shares, for plain clients: the page `/note` does the same through `/v1/transaction`.

A note `NAME` is three kinds of keys, which one transaction writes together: its text, how many versions there were, and
the last hundred of them in turn. A write that another one has overtaken is done again on top of it.
"""

import json
import time
from urllib.parse import parse_qsl

from aiohttp import web

from raftdb.budgets import BODY_BYTES_ON_LOOP_MAX
from raftdb.commands.transactions import build_transaction
from raftdb.errors import RequestRefused, Unavailable
from raftdb.frontend.http_commands import Commands
from raftdb.frontend.http_query import parameters
from raftdb.frontend.http_reply import TEXT, Reply
from raftdb.machine.operations import Comparison, Mode, Relation
from raftdb.machine.strings import Get
from raftdb.node.aside import Aside
from raftdb.route import Permission, Route

FORM_FIELD = "textareaData"
FIELDS_MAX = 8
NOTE_DEFAULT = "main"
NAME_CHARACTERS_MAX = 64
VERSIONS_MAX = 100
"""Versions of a note that are kept."""
ATTEMPTS_MAX = 8
"""A write that others overtake so often is refused."""


def text_key(name: str) -> bytes:
    """The key of the text of a note."""
    return f"note/{name}/text".encode()


def count_key(name: str) -> bytes:
    """The key of the number of its last version."""
    return f"note/{name}/count".encode()


def version_key(name: str, number: int) -> bytes:
    """The key of a version: every hundredth has the same."""
    return b"note-kept/%s/%02d" % (name.encode(), number % VERSIONS_MAX)


class NoteApi:
    """The handlers of the note."""

    def __init__(self, commands: Commands, aside: Aside) -> None:
        """`aside` reads long forms."""
        self._commands = commands
        self._aside = aside

    def routes(self) -> dict[str, dict[str, Route]]:
        """A new path table."""
        return {
            "/read_data": {"GET": Route(self.read, Permission.READ)},
            "/write_data": {"POST": Route(self.write, Permission.WRITE)},
        }

    async def read(self, request: web.BaseRequest) -> Reply:
        """GET /read_data[?note=NAME]: the text of a note; one that nobody has written is empty."""
        given = parameters(request, ("note",))
        name = _name_of(given.get("note", NOTE_DEFAULT.encode()))
        found = await self._commands.ask(request, "note", Get(text_key(name)), is_shown=False)
        return Reply(_bytes_of(found.value), content_type=TEXT)

    async def write(self, request: web.BaseRequest) -> Reply:
        """POST /write_data: the form field `textareaData` is the new text, as a new version; `note` names the note."""
        body = await self._commands.read(request)
        on_loop = len(body) <= BODY_BYTES_ON_LOOP_MAX
        text, name = _form_of(body) if on_loop else await self._aside.run(_form_of, body)
        for _ in range(ATTEMPTS_MAX):
            seen = await self._commands.ask(request, "note", Get(text_key(name)), is_shown=False)
            counted = await self._commands.ask(request, "note", Get(count_key(name)), is_shown=False)
            number = int(_bytes_of(counted.value) or b"0") + 1
            version = {"number": number, "time_ms": int(time.time() * 1000), "by": "", "text": text}
            pairs = {
                text_key(name): text.encode(),
                count_key(name): b"%d" % number,
                version_key(name, number): json.dumps(version).encode(),
            }
            transaction = build_transaction(
                [("set", pair) for pair in pairs.items()],
                mode=Mode.ATOMIC,
                comparisons=[
                    Comparison(text_key(name), Relation.EQUAL, seen.revision or 0),
                    Comparison(count_key(name), Relation.EQUAL, counted.revision or 0),
                ],
                limits=self._commands.limits,
            )
            done = await self._commands.ask(request, "note", transaction)
            if isinstance(done.value, list) and done.value[0]:
                return Reply(b"ok\n", content_type=TEXT)
        raise Unavailable("busy", f"the note was changed {ATTEMPTS_MAX} times meanwhile")


def _bytes_of(value: object) -> bytes:
    """A value as it is stored; empty for a missing key."""
    return value if isinstance(value, bytes) else b""


def _form_of(body: bytes) -> tuple[str, str]:
    """The text and the name of the note in a form. Raises RequestRefused."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise RequestRefused("bad_request", "this is no form, or its text is not UTF-8") from error
    fields = dict(pairs)
    if FORM_FIELD not in fields:
        raise RequestRefused("bad_request", f"the form has no field {FORM_FIELD}")
    # Forms send lines that end with CR and LF.
    return fields[FORM_FIELD].replace("\r\n", "\n"), _name_of(fields.get("note", NOTE_DEFAULT).encode())


def _name_of(name: bytes) -> str:
    """The name of a note. Raises RequestRefused."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestRefused("bad_request", "the name of a note is UTF-8") from error
    if not 0 < len(text) <= NAME_CHARACTERS_MAX or "/" in text or not text.isprintable():
        raise RequestRefused(
            "bad_request", f"the name of a note has 1 to {NAME_CHARACTERS_MAX} characters, and no slash"
        )
    return text
