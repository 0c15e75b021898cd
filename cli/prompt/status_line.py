"""The prompt, and the bar below it, as pairs of a style and a text. Pure."""

from cli.console import render
from cli.prompt.cluster_view import ClusterView
from cli.run.transactions import State, Transactions

Fragments = list[tuple[str, str]]

MARKS = {State.IDLE: "", State.BEGIN: "*", State.MULTI: "*", State.DOOMED: "!"}
"""The mark of the transaction's state in the prompt."""
_DOWN_NAMED_MAX = 3
_SEPARATOR = ("", " · ")
_PROMPT_NODE_COLUMNS_MAX = 20


def prompt(node: str | None, state: State, user: str | None = None) -> Fragments:
    """The prompt: `n1> `, `n1*> ` while a transaction is open, `n1!> ` when its exec will be refused; `?> ` without a
    leader; `ana@n1> ` for a user."""
    name = "?" if node is None else render.shorten(render.printable(node), _PROMPT_NODE_COLUMNS_MAX)
    who = None if user is None else render.shorten(render.printable(user), _PROMPT_NODE_COLUMNS_MAX)
    mark = MARKS[state]
    return [
        *([("class:prompt.user", f"{who}@")] if who else []),
        ("class:prompt", name),
        *([(f"class:prompt.{state.value}", mark)] if mark else []),
        ("class:prompt", "> "),
    ]


def continuation(columns: int) -> Fragments:
    """The prompt of the second and later lines of a block, as wide as the first."""
    return [("class:prompt.continuation", f"{'.' * max(columns - 1, 1)} ")]


def toolbar(view: ClusterView | None, transactions: Transactions) -> Fragments:
    """The bar: leader, term, commit index, nodes up and latency; and the number of commands that wait in an open
    transaction."""
    if view is None:
        fragments: Fragments = [("", " connecting ...")]
    elif view.nodes_up == 0:
        fragments = [("class:bar.bad", " no node answers"), ("", ": commands are tried all the same")]
    else:
        leader = ("class:bar.bad", " no leader") if view.leader is None else ("", f" {view.leader} leads")
        missing = ", ".join(
            f"{', '.join(names)} {what}"
            for names, what in ((view.down, "down"), (view.parted, "cut off"))
            if 0 < len(names) <= _DOWN_NAMED_MAX
        )
        up = f"{view.nodes_up} of {view.nodes} up{f' ({missing})' if missing else ''}"
        fragments = [
            leader,
            _SEPARATOR,
            ("", f"term {view.term}"),
            _SEPARATOR,
            ("", f"commit {view.commit_index}"),
            _SEPARATOR,
            ("class:bar.bad" if view.voters_up < view.majority else "", up),
        ]
        if view.latency_ms is not None:
            slow = "slow network: " if view.is_slow else ""
            fragments += [
                _SEPARATOR,
                ("class:bar.bad" if view.is_slow else "", slow + _latency(view.latency_ms)),
            ]
    # Names come from nodes, so control characters are escaped for the terminal.
    return [(style, render.printable(text)) for style, text in fragments] + _transaction(transactions)


def _transaction(transactions: Transactions) -> Fragments:
    if not transactions.is_open:
        return []
    style = "class:bar.bad" if transactions.state is State.DOOMED else "class:bar.open"
    return [_SEPARATOR, (style, waiting(transactions))]


def waiting(transactions: Transactions) -> str:
    """The number of commands that wait in the open transaction: `2 writes wait for commit`."""
    if transactions.state is State.DOOMED:
        return "exec will refuse it"
    count = len(transactions.waiting)
    thing = "write" if transactions.state is State.BEGIN else "command"
    until = "commit" if transactions.state is State.BEGIN else "exec"
    return f"{count} {thing} waits for {until}" if count == 1 else f"{count} {thing}s wait for {until}"


def _latency(latency_ms: float) -> str:
    """A latency with few digits, so that it seldom changes."""
    return f"{latency_ms:.1f} ms" if latency_ms < 10 else f"{latency_ms:.0f} ms"
