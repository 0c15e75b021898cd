"""Showing the answers of the cluster and of the shell's own commands in the three forms."""

from collections.abc import Callable, Mapping, Sequence

from cli.console import render
from cli.console.output import Output
from raftdb.client.json_body import bytes_to_json
from raftdb.client.model import Answer, TransactionAnswer, Value
from raftdb.errors import CommandFailed

NESTED = {
    "holders": ("owner", "mode", "token", "since_ms", "left_ms"),
    "line": ("owner", "mode", "since_ms"),
}
"""The columns of lists of rows that stand beside a name."""


def _cell(value: Value) -> str:
    """A name or a number in a table, as it would be typed."""
    return render.word(value) if isinstance(value, bytes) else render.typed(value)


def _pairs(value: list[Value]) -> str:
    rows = [tuple(map(render.typed, pair)) for pair in zip(value[::2], value[1::2], strict=True)]
    return render.table(("key", "value"), rows)


def _deliveries(value: list[Value]) -> str:
    rows = [(*map(_cell, row[:-1]), render.typed(row[-1])) for row in value if isinstance(row, list) and row]
    return render.table(("id", "receipt", "deliveries", "value"), rows)


def _locks(value: list[Value]) -> str:
    return render.table(("name", "mode", "holders", "waiting"), _rows(value))


def _rows(value: list[Value]) -> list[list[str]]:
    return [list(map(_cell, row)) for row in value if isinstance(row, list)]


def _named(value: list[Value]) -> str:
    """Names with their values beside them."""
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in value[::2]]
    size = max(map(len, names))
    lines = []
    for name, beside in zip(names, value[1::2], strict=True):
        is_table = name in NESTED and isinstance(beside, list) and beside
        text = render.table(NESTED[name], _rows(beside)) if is_table else render.typed(beside)  # type: ignore[arg-type]
        first, *rest = text.split("\n")
        lines += [f"{name:<{size}}  {first}", *(f"{'':<{size}}  {line}" for line in rest)]
    return "\n".join(lines)


def _several_named(value: list[Value]) -> str:
    return "\n\n".join(_named(one) for one in value if isinstance(one, list))


TABLES: Mapping[str, Callable[[list[Value]], str]] = {
    "scan": _pairs,
    "receive": _deliveries,
    "locks": _locks,
    "lockinfo": _named,
    "qinfo": _named,
    "qget": _named,
    "peek": _several_named,
}
"""How the lists of commands are shown to people, unless they are empty; those of others are numbered."""


def show_answer(answer: Answer, name: str, output: Output) -> None:
    """Show the answer to a command."""
    value, shown = answer.value, TABLES.get(name.lower())
    if output.format == "table" and shown is not None and isinstance(value, list) and value:
        output.text(shown(value))
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
