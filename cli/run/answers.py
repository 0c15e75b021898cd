"""Showing the answers of the cluster and of the shell's own commands in the three forms."""

from collections.abc import Mapping, Sequence

from cli.console import render
from cli.console.output import Output
from raftdb.client.json_body import bytes_to_json
from raftdb.client.model import Answer, TransactionAnswer
from raftdb.errors import CommandFailed

PAIRS = {"scan": ("key", "value")}
"""Commands whose list has pairs, with the headers of the two columns in a table."""


def show_answer(answer: Answer, name: str, output: Output) -> None:
    """Show the answer to a command."""
    value, headers = answer.value, PAIRS.get(name.lower())
    if output.format == "table" and headers is not None and isinstance(value, list) and value:
        rows = [tuple(map(render.typed, pair)) for pair in zip(value[::2], value[1::2], strict=True)]
        output.text(render.table(headers, rows))
    else:
        show_result(value, output, answer.body)


def show_result(value: render.Result, output: Output, body: object = None) -> None:
    """Show a value. `body` is its JSON, by default an object with the value alone."""
    if output.format == "json":
        output.json({"result": _json_of(value)} if body is None else body)
    elif output.format == "raw":
        output.raw(render.raw(value))
    else:
        output.text(render.typed(value))


def show_results(answer: TransactionAnswer, output: Output) -> None:
    """Show the results of an exec."""
    results: list[render.Result] = list(answer.results)
    show_result(results, output, answer.body)


def show_commit(index: int, output: Output) -> None:
    """Show a commit, which is the entry `index` of the log; 0 if there was nothing to commit."""
    if output.format == "json":
        output.json({"result": "OK", "index": index})
    else:
        output.text(f"OK {index}" if output.format == "raw" else _commit_in_words(index))


def _commit_in_words(index: int) -> str:
    return f"OK (index {index})" if index else "OK (there was nothing to do)"


def show_conflict(keys: Sequence[bytes], word: str, output: Output) -> None:
    """Show `word` instead of results, because `keys` have changed."""
    if output.format == "json":
        output.json({"results": None, "conflict": [bytes_to_json(key) for key in keys]})
    else:
        output.text(word)


def show_transaction(
    watched: Mapping[bytes, int],
    waiting: Sequence[tuple[str, Sequence[bytes]]],
    kinds: tuple[str, str],
    output: Output,
) -> None:
    """Show the keys that an open transaction has read, with their revisions, and the commands (name, arguments) that
    wait. `kinds` has the words for the two."""
    rows = [
        (kinds[0], render.word(key), str(revision) if revision else "-") for key, revision in watched.items()
    ]
    rows += [(kinds[1], render.line(name, arguments), "") for name, arguments in waiting]
    body = {
        kinds[0]: [{"key": bytes_to_json(key), "revision": revision} for key, revision in watched.items()],
        kinds[1]: [
            {"command": name, "args": [bytes_to_json(argument) for argument in arguments]}
            for name, arguments in waiting
        ],
    }
    if rows or output.format != "table":
        output.table(("", "what", "revision"), rows, body)
    else:
        output.text("(nothing yet)")


def _json_of(value: render.Result) -> object:
    if isinstance(value, bytes):
        return bytes_to_json(value)
    if isinstance(value, list):
        return [_json_of(item) for item in value]
    if isinstance(value, CommandFailed):
        return {"error": {"code": value.code, "message": value.message}}
    return value
