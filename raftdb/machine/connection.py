"""Signs of life."""

from dataclasses import dataclass

from raftdb.machine.layer import KeyValueView
from raftdb.machine.reply import Result
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
)


@dataclass(frozen=True, slots=True)
class Ping(Command):
    """Ask for a sign of life: `PONG`. Like every linearizable read, a linearizable ping proves that the leader still
    leads."""


def ping(view: KeyValueView, command: Ping) -> Result:
    """Answer without a value."""
    return Result(None, None)


CONNECTION = Service(
    heading="connection",
    commands=(
        CommandType(
            type=Ping,
            number=1,
            read=ping,
            shown=lambda result: "PONG",
            names=(
                CommandSpec(
                    name="ping",
                    syntax="ping",
                    summary="Ask the leader for a sign of life: PONG.",
                    examples=(Example("ping", "PONG"),),
                    arity=Arity(0, 0),
                    reply=ReplyKind.STATUS,
                    build=lambda given: Ping(),
                    keys=NO_ARGUMENTS,
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
    ),
)
