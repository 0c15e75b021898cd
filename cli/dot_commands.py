"""The commands of the shell that begin with a dot: about the cluster, or about the shell itself. One table.

They are not commands of the database: nothing of them is replicated, and no node knows their names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cli import admin, help_text
from cli.options import parse_count
from raftdb.commands.spec import COMMANDS, lookup
from raftdb.errors import RequestRefused

if TYPE_CHECKING:
    from cli.interpreter import Interpreter


class Quit(Exception):
    """The shell is asked to end."""


class LocalControl(Protocol):
    """What the shell may do to the processes of a cluster that `raftdb up` started. Errors are
    `RaftdbError`."""

    @property
    def node_ids(self) -> Sequence[str]:
        """The ids of all nodes, sorted."""

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
    """One row of the table. `syntax` starts with the name; optional words stand in brackets.

    `local`: only in the shell of a cluster that `up` started. `takes_node`: its first argument is a node's
    id.
    """

    syntax: str
    summary: str
    run: Callable[["Interpreter", Sequence[str]], None]
    local: bool = False
    takes_node: bool = False

    @property
    def arity(self) -> tuple[int, int]:
        """(fewest, most) arguments, counted from the syntax."""
        words = self.syntax.split()[1:]
        return sum(not word.startswith("[") for word in words), len(words)


def _help(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    if arguments:
        interpreter.output.text(_help_of(arguments[0]))
        return
    lines = help_text.commands()
    lines.append("cluster and shell:")
    lines += [
        help_text.row(dot.syntax, dot.summary)
        for dot in DOT_COMMANDS.values()
        if interpreter.cluster is not None or not dot.local
    ]
    lines += ["", 'strings: "two words", "line\\n", "\\x00", \'as it is\'; several commands: a; b']
    interpreter.output.text("\n".join(lines))


def _help_of(name: str) -> str:
    spec = lookup(name)
    if spec is not None:
        return help_text.command(spec)
    dot = DOT_COMMANDS.get(name.lower()) or DOT_COMMANDS.get(f".{name.lower()}")
    if dot is None:
        raise unknown_dot_command(name) if name.startswith(".") else _unknown_topic(name)
    return f"{dot.syntax}\n  {dot.summary}"


def _unknown_topic(name: str) -> RequestRefused:
    return RequestRefused("unknown_command", f"there is no command {name!r}", hint=".help lists all commands")


def _status(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    admin.show_status(interpreter.client.status(), interpreter.output)


def _nodes(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    admin.show_nodes(admin.survey(interpreter.client), interpreter.output)


def _leader(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    leader = interpreter.client.status().leader
    if leader is None:
        interpreter.output.text("no leader is known at the moment")
    else:
        interpreter.output.text(f"{leader.id} {leader.http}")


def _members(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    admin.show_members(interpreter.client.membership(), interpreter.output)


def _log(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    try:
        numbers = [parse_count(text) for text in arguments]
    except ValueError as error:
        raise RequestRefused("bad_request", str(error), hint="the syntax is: .log [FROM] [LIMIT]") from None
    first, limit = [*numbers, None, None][:2]
    limit = min(limit or admin.LOG_ENTRIES_SHOWN, admin.LOG_LIMIT_MAX)
    admin.show_log(admin.read_log(interpreter.client, first=first, limit=limit), interpreter.output)


def _snapshot(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    index = interpreter.client.snapshot()
    interpreter.output.fields({"index": str(index)}, {"index": index})


def _quit(interpreter: "Interpreter", arguments: Sequence[str]) -> None:
    raise Quit


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
        DotCommand(".help [COMMAND]", "All commands, or one of them with examples.", _help),
        DotCommand(".nodes", "Every node: its role, term and position in the log.", _nodes),
        DotCommand(".leader", "Which node leads.", _leader),
        DotCommand(".status", "The status of the first node that answers.", _status),
        DotCommand(".members", "The members as the leader knows them.", _members),
        DotCommand(
            ".log [FROM] [LIMIT]", "The leader's log: the newest entries, or those from an index.", _log
        ),
        DotCommand(".snapshot", "Make the leader's state durable and compact its log now.", _snapshot),
        DotCommand(".kill NODE", "End a node at once, as a crash would.", _control("kill"), True, True),
        DotCommand(".restart NODE", "Start a node again.", _control("restart"), True, True),
        DotCommand(".pause NODE", "Freeze a node: it answers nobody.", _control("pause"), True, True),
        DotCommand(".resume NODE", "Let a frozen node go on.", _control("resume"), True, True),
        DotCommand(".quit", "Leave the shell (also Ctrl-D); stops a cluster that 'up' started.", _quit),
    )
}
"""The table by name, in the order of help."""


def unknown_dot_command(name: str) -> RequestRefused:
    """The error for `name`, with what was probably meant."""
    from difflib import get_close_matches

    bare = {f".{command}": command for command in COMMANDS}
    meant = get_close_matches(name.lower(), [*DOT_COMMANDS, *bare], n=1)
    hint = f"did you mean {bare.get(meant[0], meant[0])!r}?" if meant else ".help lists all commands"
    return RequestRefused("unknown_command", f"unknown dot-command {name[:40]!r}", hint=hint)
