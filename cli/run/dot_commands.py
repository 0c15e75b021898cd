"""The functions of the dot-commands; `cli.line.dot_words` has their syntax."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cli.admin import log, members, nodes
from cli.admin.following import follow
from cli.console.output import FORMATS, terminal_columns
from cli.console.paths import typed_path
from cli.console.render import encoded, url_of
from cli.line import vocabulary
from cli.line.dot_words import DOT_WORDS
from cli.line.lexer import Word
from cli.line.numbers import parse_count
from cli.run import dot_login, dot_network
from cli.run.context import Context, Quit
from cli.run.expansion import expanded
from cli.run.repeat import repeat
from cli.run.script import run_file
from raftdb.commands.spec import lookup
from raftdb.errors import RequestRefused

Run: TypeAlias = Callable[[Context, Sequence[str]], None]
Question: TypeAlias = Callable[[Context, Sequence[str]], str | None]


def _nothing_to_ask(context: Context, arguments: Sequence[str]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class DotCommand:
    """A dot-command.

    `question` returns what to ask a person before it runs, or None. `changes`: after Ctrl-C its request may still take
    effect.
    """

    run: Run
    question: Question = _nothing_to_ask
    changes: bool = False


def _status(context: Context, arguments: Sequence[str]) -> None:
    nodes.show_status(context.client.status(), context.output)


def _nodes(context: Context, arguments: Sequence[str]) -> None:
    nodes.show_nodes(nodes.survey(context.client), context.output)


def _leader(context: Context, arguments: Sequence[str]) -> None:
    leader = context.client.status().leader
    if leader is None:
        context.output.text("no leader is known at the moment")
    else:
        context.output.text(f"{leader.id} {leader.http}")


def _members(context: Context, arguments: Sequence[str]) -> None:
    members.show_members(context.client.membership(), context.output)


def _add(context: Context, arguments: Sequence[str]) -> None:
    if len(arguments) < 2:
        _add_here(context, next(iter(arguments), None))
        return
    node_id, address, *words = arguments
    learner, force = _said(words, "learner", "force")
    answer = members.add(context.client, context.output, node_id, address, learner=learner, force=force)
    members.show_change(answer, context.output)


def _add_here(context: Context, node_id: str | None) -> None:
    """Start one more node of the cluster that this shell has started."""
    if context.cluster is None:
        raise RequestRefused(
            "wrong_arity",
            "wrong number of arguments",
            hint=f"the syntax is: {DOT_WORDS['.add'].syntax}; only a shell of 'raftdb up' starts nodes itself",
        )
    new = context.cluster.add(node_id)
    answer = members.follow(context.client, context.output, context.client.membership(), new)
    members.show_change(answer, context.output)


def _remove(context: Context, arguments: Sequence[str]) -> None:
    node_id, cluster = arguments[0], context.cluster
    (force,) = _said(arguments[1:], "force")
    members.show_change(context.client.remove_member(node_id, force=force), context.output)
    if cluster is not None and node_id in cluster.node_ids:
        context.output.text(cluster.retire(node_id))


def _promote(context: Context, arguments: Sequence[str]) -> None:
    (force,) = _said(arguments[1:], "force")
    members.show_change(context.client.promote_member(arguments[0], force=force), context.output)


def _transfer(context: Context, arguments: Sequence[str]) -> None:
    target = arguments[0] if arguments else None
    members.show_leader(context.client.transfer_leadership(target), context.output)


def _removes_for_good(context: Context, arguments: Sequence[str]) -> str:
    is_here = context.cluster is not None and arguments[0] in context.cluster.node_ids
    deleted = " with its data" if is_here else ""
    return f"{arguments[0]} is removed for good{deleted}, and its id is never used again. Go on?"


def _said(words: Sequence[str], *known: str) -> list[bool]:
    """For each of the `known` words, whether it is among `words`. Raises `RequestRefused` for any other word."""
    given = [word.lower() for word in words]
    for word in given:
        if word not in known:
            hint = f"it may be: {', '.join(known)}"
            raise RequestRefused("bad_request", f"{word[:40]!r} is not known here", hint=hint)
    return [word in given for word in known]


def _help(context: Context, arguments: Sequence[str]) -> None:
    """Print all commands, or the help of one."""
    columns = terminal_columns()
    if arguments:
        context.output.text(vocabulary.help_of(arguments[0], columns))
    else:
        context.output.text(vocabulary.overview(columns, local=context.cluster is not None))


def _log(context: Context, arguments: Sequence[str]) -> None:
    try:
        numbers = [parse_count(text) for text in arguments]
    except ValueError as error:
        raise RequestRefused("bad_request", str(error), hint="the syntax is: .log [FROM] [LIMIT]") from None
    first, limit = [*numbers, None, None][:2]
    limit = min(limit or log.LOG_ENTRIES_SHOWN, log.LOG_LIMIT_MAX)
    log.show_log(log.read_log(context.client, first=first, limit=limit), context.output)


def _snapshot(context: Context, arguments: Sequence[str]) -> None:
    index = context.client.snapshot()
    context.output.fields({"index": str(index)}, {"index": index})


def _mode(context: Context, arguments: Sequence[str]) -> None:
    if not arguments:
        context.output.text(context.output.format)
        return
    mode = arguments[0].lower()
    if mode not in FORMATS:
        raise RequestRefused(
            "bad_request", f"there is no mode {mode[:40]!r}", hint=f"one of: {', '.join(FORMATS)}"
        )
    context.output.format = mode


def _open(context: Context, arguments: Sequence[str]) -> None:
    if context.cluster is not None:
        url = context.cluster.dashboard_url
        if url is None:
            raise RequestRefused(
                "bad_request", "this cluster has no dashboard", hint="start it without --dashboard off"
            )
    else:
        status = context.client.status()
        url = next(f"{url_of(member.http)}/" for member in status.members if member.id == status.id)
    context.output.text(url)


def _follow(context: Context, arguments: Sequence[str]) -> None:
    try:
        follow(context.client, context.output, encoded("".join(arguments)))
    except KeyboardInterrupt:
        if context.person is None:
            raise
        context.output.text("")  # a line end after the ^C that the terminal shows


def _watch(context: Context, arguments: Sequence[str]) -> None:
    repeat(context, arguments[0], arguments[1:])


def _read(context: Context, arguments: Sequence[str]) -> None:
    run_file(context, arguments[0])


def _expand(context: Context, arguments: Sequence[str]) -> None:
    if lookup(arguments[0]) is None:
        hint = "for example: .expand set photo @photo.jpg"
        raise RequestRefused(
            "bad_request", f"{arguments[0][:40]!r} is not a command of the database", hint=hint
        )
    given = [encoded(text) for text in arguments]
    words = [given[0], *expanded(given[1:], ".expand", None)]
    context.run([Word(word, 0, 0, quoted=False) for word in words])


def _backup(context: Context, arguments: Sequence[str]) -> None:
    from cli.admin.backup import back_up

    back_up(context.client, typed_path(arguments[0], ".backup"), context.output)


def _quit(context: Context, arguments: Sequence[str]) -> None:
    raise Quit


def _loses_majority(context: Context, arguments: Sequence[str]) -> str | None:
    """The question before a node is stopped without which there is no running majority; else None."""
    cluster = context.cluster
    if cluster is None or arguments[0] not in cluster.running_ids:
        return None
    every, running = len(cluster.node_ids), len(cluster.running_ids)
    majority = every // 2 + 1
    if not running - 1 < majority <= running:
        return None
    return (
        f"without {arguments[0]} there is no majority ({running - 1} of {every} nodes), "
        "and nothing is read or written. Go on?"
    )


def _control(action: str) -> Callable[[Context, Sequence[str]], None]:
    """The dot-command that calls the method `action` of the cluster's control with a node's id."""

    def run(context: Context, arguments: Sequence[str]) -> None:
        if context.cluster is None:
            raise RequestRefused(
                "bad_request",
                "this shell did not start the cluster",
                hint=f"'raftdb up' opens a shell in which .{action} works",
            )
        context.output.text(getattr(context.cluster, action)(arguments[0]))

    return run


DOT_COMMANDS: dict[str, DotCommand] = {
    ".help": DotCommand(_help),
    ".nodes": DotCommand(_nodes),
    ".leader": DotCommand(_leader),
    ".status": DotCommand(_status),
    ".members": DotCommand(_members),
    ".add": DotCommand(_add, changes=True),
    ".remove": DotCommand(_remove, _removes_for_good, changes=True),
    ".promote": DotCommand(_promote, changes=True),
    ".transfer": DotCommand(_transfer, changes=True),
    ".log": DotCommand(_log),
    ".snapshot": DotCommand(_snapshot),
    ".backup": DotCommand(_backup),
    ".open": DotCommand(_open),
    ".follow": DotCommand(_follow),
    ".watch": DotCommand(_watch),
    ".expand": DotCommand(_expand),
    ".read": DotCommand(_read),
    ".mode": DotCommand(_mode),
    ".network": DotCommand(dot_network.network, changes=True),
    ".cut": DotCommand(dot_network.cut, changes=True),
    ".heal": DotCommand(dot_network.heal, changes=True),
    ".kill": DotCommand(_control("kill"), _loses_majority),
    ".restart": DotCommand(_control("restart")),
    ".pause": DotCommand(_control("pause"), _loses_majority),
    ".resume": DotCommand(_control("resume")),
    ".login": DotCommand(dot_login.login),
    ".logout": DotCommand(dot_login.logout),
    ".quit": DotCommand(_quit),
}
"""The dot-commands by name. A test compares the names with those in `cli.line.dot_words`."""
