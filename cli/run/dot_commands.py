"""The commands of the shell that begin with a dot: about the cluster, or about the shell itself. One table.

They are not commands of the database: nothing of them is replicated, and no node knows their names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cli.admin import members, nodes
from cli.console.options import FORMATS, parse_count
from cli.console.paths import typed_path
from cli.line import syntax
from cli.line.lexer import Word, encoded
from raftdb.commands.spec import lookup
from raftdb.errors import RequestRefused

if TYPE_CHECKING:
    from cli.run.interpreter import Interpreter


class Quit(Exception):
    """The shell is asked to end."""


class LocalControl(Protocol):
    """What the shell may do to the processes of a cluster that `raftdb up` started. Errors are
    `RaftdbError`."""

    @property
    def node_ids(self) -> Sequence[str]:
        """The ids of all nodes, sorted."""

    @property
    def running_ids(self) -> Sequence[str]:
        """The ids of the nodes that run and are not paused, sorted."""

    def kill(self, node_id: str) -> str:
        """End a node with SIGKILL, as a crash would; what was done, for people."""

    def restart(self, node_id: str) -> str:
        """Start a node (stopping it cleanly first if it runs); what was done."""

    def pause(self, node_id: str) -> str:
        """Stop a node's clock and sockets with SIGSTOP; what was done."""

    def resume(self, node_id: str) -> str:
        """Let a paused node go on; what was done."""


@dataclass(frozen=True, slots=True)
class DotCommand:
    """One row of the table. `syntax` starts with the name (`cli.line.syntax` says how it is read).

    `local`: only in the shell of a cluster that `up` started. `question`: what a person is asked before it is done;
    it answers None where there is nothing to ask. `changes`: what it sends may take effect although nobody waits for
    the answer.
    """

    syntax: str
    summary: str
    run: Callable[["Interpreter", Sequence[str]], None]
    local: bool = False
    question: Callable[["Interpreter", Sequence[str]], str | None] = lambda interpreter, arguments: None
    changes: bool = False

    @property
    def arity(self) -> tuple[int, int | None]:
        """(fewest, most) arguments; None: no limit."""
        return syntax.arity(syntax.parse(self.syntax))


def _status(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    nodes.show_status(interpreter.client.status(), interpreter.output)


def _nodes(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    nodes.show_nodes(nodes.survey(interpreter.client), interpreter.output)


def _leader(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    leader = interpreter.client.status().leader
    if leader is None:
        interpreter.output.text("no leader is known at the moment")
    else:
        interpreter.output.text(f"{leader.id} {leader.http}")


def _members(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    nodes.show_members(interpreter.client.membership(), interpreter.output)


def _add(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    node_id, address, *words = arguments
    learner, force = _said(words, "learner", "force")
    answer = members.add(
        interpreter.client, interpreter.output, node_id, address, learner=learner, force=force
    )
    members.show_change(answer, interpreter.output)


def _remove(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    (force,) = _said(arguments[1:], "force")
    members.show_change(interpreter.client.remove_member(arguments[0], force=force), interpreter.output)


def _promote(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    (force,) = _said(arguments[1:], "force")
    members.show_change(interpreter.client.promote_member(arguments[0], force=force), interpreter.output)


def _transfer(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    target = arguments[0] if arguments else None
    members.show_leader(interpreter.client.transfer_leadership(target), interpreter.output)


def _removes_for_good(interpreter: "Interpreter", arguments: Sequence[str]) -> str:
    return f"{arguments[0]} is removed for good, and its id is never used again. Go on?"


def _said(words: Sequence[str], *known: str) -> list[bool]:
    """Which of the `known` words were said. Raises `RequestRefused` for any other."""
    given = [word.lower() for word in words]
    for word in given:
        if word not in known:
            hint = f"it may be: {', '.join(known)}"
            raise RequestRefused("bad_request", f"{word[:40]!r} is not known here", hint=hint)
    return [word in given for word in known]


def _log(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    try:
        numbers = [parse_count(text) for text in arguments]
    except ValueError as error:
        raise RequestRefused("bad_request", str(error), hint="the syntax is: .log [FROM] [LIMIT]") from None
    first, limit = [*numbers, None, None][:2]
    limit = min(limit or nodes.LOG_ENTRIES_SHOWN, nodes.LOG_LIMIT_MAX)
    nodes.show_log(nodes.read_log(interpreter.client, first=first, limit=limit), interpreter.output)


def _snapshot(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    index = interpreter.client.snapshot()
    interpreter.output.fields({"index": str(index)}, {"index": index})


def _mode(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    if not arguments:
        interpreter.output.text(interpreter.output.format)
        return
    mode = arguments[0].lower()
    if mode not in FORMATS:
        raise RequestRefused(
            "bad_request", f"there is no mode {mode[:40]!r}", hint=f"one of: {', '.join(FORMATS)}"
        )
    interpreter.output.format = mode


def _watch(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    from cli.run.repeat import repeat

    repeat(interpreter, arguments[0], arguments[1:])


def _read(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    from cli.run.script import run_file

    run_file(interpreter, arguments[0])


def _expand(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    from cli.run.expansion import expanded

    if lookup(arguments[0]) is None:
        hint = "for example: .expand set photo @photo.jpg"
        raise RequestRefused("bad_request", f"{arguments[0][:40]!r} is no command of the database", hint=hint)
    given = [encoded(text) for text in arguments]
    words = [given[0], *expanded(given[1:], ".expand", None)]
    interpreter.run([Word(word, 0, 0, quoted=False) for word in words])


def _backup(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    from cli.admin.backup import back_up

    back_up(interpreter.client, typed_path(arguments[0], ".backup"), interpreter.output)


def _quit(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    raise Quit


def _loses_majority(interpreter: "Interpreter", arguments: Sequence[str]) -> str | None:
    """What to ask before a node is taken away without which no majority runs."""
    cluster = interpreter.cluster
    if cluster is None or arguments[0] not in cluster.running_ids:
        return None
    nodes, running = len(cluster.node_ids), len(cluster.running_ids)
    majority = nodes // 2 + 1
    if not running - 1 < majority <= running:
        return None
    return (
        f"without {arguments[0]} there is no majority ({running - 1} of {nodes} nodes), "
        "and nothing is read or written. Go on?"
    )


def _control(action: str) -> Callable[["Interpreter", Sequence[str]], None]:
    """The command that calls method `action` of the cluster's control with a node's id."""

    def run(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
        if interpreter.cluster is None:
            raise RequestRefused(
                "bad_request",
                "this shell did not start the cluster",
                hint=f"'raftdb up' opens a shell in which .{action} works",
            )
        interpreter.output.text(getattr(interpreter.cluster, action)(arguments[0]))

    return run


DOT_COMMANDS: dict[str, DotCommand] = {
    dot.syntax.split()[0]: dot
    for dot in (
        DotCommand(
            ".help [COMMAND]",
            "All commands, or one of them with examples.",
            lambda interpreter, arguments: interpreter.help(arguments),
        ),
        DotCommand(".nodes", "Every node: its role, term and position in the log.", _nodes),
        DotCommand(".leader", "Which node leads.", _leader),
        DotCommand(".status", "The status of the first node that answers.", _status),
        DotCommand(".members", "The members as the leader knows them.", _members),
        DotCommand(
            ".add NEW HOST:PORT [learner] [force]",
            "Take a node in: a learner first, a voter once it has caught up.",
            _add,
            changes=True,
        ),
        DotCommand(
            ".remove NODE [force]",
            "Take a member out for good.",
            _remove,
            question=_removes_for_good,
            changes=True,
        ),
        DotCommand(".promote NODE [force]", "Make a learner a voter.", _promote, changes=True),
        DotCommand(
            ".transfer [NODE]", "Let another node lead, or whichever is furthest.", _transfer, changes=True
        ),
        DotCommand(
            ".log [FROM] [LIMIT]", "The leader's log: the newest entries, or those from an index.", _log
        ),
        DotCommand(".snapshot", "Make the leader's state durable and compact its log now.", _snapshot),
        DotCommand(".backup FILE", "A consistent backup of the cluster, into a new file.", _backup),
        DotCommand(".watch SECONDS COMMAND...", "Repeat a command every few seconds, until Ctrl-C.", _watch),
        DotCommand(
            ".expand COMMAND...", "Run a command; each argument @FILE is what that file holds.", _expand
        ),
        DotCommand(".read FILE", "Run the commands of a file, up to the first error.", _read),
        DotCommand(".mode [table|json|raw]", "The form of results: say it, or change it.", _mode),
        DotCommand(
            ".kill NODE", "End a node at once, as a crash would.", _control("kill"), True, _loses_majority
        ),
        DotCommand(".restart NODE", "Start a node again.", _control("restart"), True),
        DotCommand(
            ".pause NODE", "Freeze a node: it answers nobody.", _control("pause"), True, _loses_majority
        ),
        DotCommand(".resume NODE", "Let a frozen node go on.", _control("resume"), True),
        DotCommand(".quit", "Leave the shell (also Ctrl-D); stops a cluster that 'up' started.", _quit),
    )
}
"""The table by name, in the order of help."""
