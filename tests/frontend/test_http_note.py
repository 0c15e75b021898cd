"""The shared note for plain clients: what a form writes is a version, and overwrites nobody who was quicker."""

import json
from typing import Any

import pytest

from raftdb.frontend.http_note import ATTEMPTS_MAX, VERSIONS_MAX, version_key
from raftdb.machine.operations import TransactionOperation
from raftdb.machine.reply import Result
from raftdb.machine.strings import Get, Set
from raftdb.node.turn import Answer
from tests.frontend.support import StubNode, answered, get, post, running

Outcome = tuple[object, int | None] | list[object]
"""The value and the revision of a read, or what a transaction that branches answers."""


class NoteNode(StubNode):
    """Answers with `results`, in order. `asked` is what it was asked."""

    def __init__(self, *results: Outcome) -> None:
        super().__init__()
        self.results = list(results)
        self.asked: list[Any] = []

    async def execute(self, operation: Any, *, consistency: Any, user: bytes | None = None) -> Answer:
        """Answer with the next of the results."""
        self.asked.append(operation)
        result = self.results.pop(0)
        if isinstance(result, list):
            return answered(result)
        return answered(result[0], revision=result[1])


FORM = "Content-Type: application/x-www-form-urlencoded"


def test_every_hundredth_version_has_the_same_key() -> None:
    assert version_key("main", 7) == version_key("main", 7 + VERSIONS_MAX) == b"note-kept/main/07"
    assert len({version_key("main", number) for number in range(3 * VERSIONS_MAX)}) == VERSIONS_MAX


async def test_a_form_is_a_new_version_on_top_of_what_was_read() -> None:
    node = NoteNode((b"old", 9), (b"4", 9), [True, *[Result(True, None)] * 3])
    async with running(node=node) as http:
        answer = await http.request(post(b"textareaData=a+b%0D%0Ac%C3%BC", "/write_data", headers=[FORM]))
        assert answer.status == 200
        *reads, write = node.asked
        assert [type(one) for one in reads] == [Get, Get]
        assert isinstance(write, TransactionOperation)
        assert [comparison.operand for comparison in write.comparisons] == [9, 9]
        values = {command.key: command.value for command in write.commands if isinstance(command, Set)}
        assert values[b"note/main/text"] == "a b\ncü".encode()
        assert values[b"note/main/count"] == b"5"
        assert json.loads(values[b"note-kept/main/05"])["text"] == "a b\ncü"


async def test_who_is_overtaken_writes_again_on_top_and_gives_up_at_last() -> None:
    missing: Outcome = (None, None)
    lost: Outcome = [False]
    node = NoteNode(missing, missing, lost, (b"x", 3), (b"1", 3), [True, *[Result(True, None)] * 3])
    async with running(node=node) as http:
        assert (await http.request(post(b"textareaData=t", "/write_data", headers=[FORM]))).status == 200
        assert [c.operand for c in node.asked[-1].comparisons] == [3, 3]
        node.results = [missing, missing, lost] * ATTEMPTS_MAX
        answer = await http.request(post(b"textareaData=t", "/write_data", headers=[FORM]))
        assert (answer.status, answer.code) == (503, "busy")


@pytest.mark.parametrize(
    "body",
    [b"", b"text=a", b"textareaData=%ff", b"textareaData=a&note=", b"textareaData=a&note=a/b", b"&a=b" * 9],
)
async def test_other_forms_are_refused(body: bytes) -> None:
    async with running() as http:
        answer = await http.request(post(body, "/write_data", headers=[FORM]))
        assert (answer.status, answer.code) == (400, "bad_request")
        assert http.node.executed == []


async def test_a_note_is_read_as_text() -> None:
    async with running(node=NoteNode((b"hello", 3), (None, None))) as http:
        answer = await http.request(get("/read_data"))
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.headers["content-type"].startswith("text/plain")
        assert (await http.request(get("/read_data?note=other"))).body == b""
        assert (await http.request(get("/read_data?note=a%2Fb"))).status == 400
