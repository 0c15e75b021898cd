"""One-shot commands of the database: `raftdb get kunci`."""

import os
from collections.abc import Sequence

from cli.failures import EXIT_NO_SUCH_KEY, EXIT_OK
from cli.options import Options
from cli.output import Output
from raftdb.client.model import Answer
from raftdb.client.sync_client import Client
from raftdb.commands.limits import COMMAND_BYTES_CEILING, VALUE_BYTES_CEILING, Limits
from raftdb.commands.model import Get
from raftdb.commands.spec import lookup, parse

_CEILING = Limits(value_bytes=VALUE_BYTES_CEILING, command_bytes=COMMAND_BYTES_CEILING)


def execute(client: Client, name: str, arguments: Sequence[bytes], *, consistency: str) -> Answer:
    """Run one command on the cluster; what no node would accept is refused without asking one.

    Limits that nodes may be configured to are left to them. Raises `RaftdbError`.
    """
    parse(name, arguments, limits=_CEILING)
    return client.execute(name, arguments, consistency=consistency)


def run(name: str, arguments: Sequence[str], options: Options) -> int:
    """Run command `name` with the rest of the command line, verbatim, as its arguments; the exit code.

    `get` of a key that does not exist prints the empty string, as everywhere, and tells by its exit code: the
    answer carries the revision 0, which no key has.
    """
    with options.client() as client:
        answer = execute(
            client, name, [os.fsencode(text) for text in arguments], consistency=options.consistency
        )
    Output(options.output).answer(answer)
    spec = lookup(name)
    missing = spec is not None and spec.command is Get and answer.revision == 0
    return EXIT_NO_SUCH_KEY if missing else EXIT_OK
