"""Beginning a request: from its words to an operation for the node, or to the reply of one that needs none."""

import logging
from functools import partial
from typing import TYPE_CHECKING

from raftdb.errors import required
from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.errors import CommandRefused
from raftdb.frontend.redis.logging_in import check_user
from raftdb.frontend.redis.replying import moved
from raftdb.frontend.redis.rows import Arguments, Row
from raftdb.frontend.redis.table import find, keys_of
from raftdb.frontend.redis.transactions import begin_exec, queue_request

if TYPE_CHECKING:
    from raftdb.frontend.redis.server import RedisServer

logger = logging.getLogger("raftdb.redis")

_HTTP_WORDS = (b"POST", b"HOST:")
"""The first words of HTTP requests, which a page in a browser may have sent (hazard B100)."""


def begin(
    server: "RedisServer", client: ClientState, row: Row, arguments: Arguments, *, may_be_large: bool
) -> object:
    """The `Call` or `WaitingCall` of a request, or its reply if it needs no node. `may_be_large`: it may exceed the
    limits of the node."""
    try:
        check_user(server, client, row)
        return _begun(server, client, row, arguments, may_be_large=may_be_large)
    except CommandRefused as refused:
        return refused.error


def queue(server: "RedisServer", client: ClientState, row: Row, arguments: Arguments) -> object:
    """Keep a request for EXEC; returns the reply. If another node has its keys, the transaction has failed, as in a
    Redis cluster: its clients try all of it again there."""
    try:
        check_user(server, client, row)
    except CommandRefused as refused:
        client.fail_transaction()
        return refused.error
    address = server.address_of(server.node.other_leader()) if row.keys[0] else None
    if address is not None:
        client.fail_transaction()
        return moved(arguments, address)
    return queue_request(client, arguments, bytes_max=server.queued_bytes_max)


def first_named(client: ClientState) -> Arguments:
    """The first request of a transaction that names keys, by which clients of Redis clusters have chosen a node; EXEC
    itself names none."""
    watched = [key for key, _ in client.watched.pairs()]
    requests = [*(client.queued or ()), *([[b"watch", *watched]] if watched else ())]
    return next((each for each in requests if keys_of(find(each), each)), [b"exec"])


def is_http(client: ClientState, arguments: Arguments) -> bool:
    """Whether an unknown command has words of HTTP, which end the connection."""
    if arguments[0].upper() not in _HTTP_WORDS:
        return False
    fields = {"client": client.address}
    logger.warning("HTTP on the Redis port, perhaps from a page in a browser", extra={"fields": fields})
    return True


def _begun(
    server: "RedisServer", client: ClientState, row: Row, arguments: Arguments, *, may_be_large: bool
) -> object:
    """See `begin`. Raises `CommandRefused`."""
    if row.build is not None:
        if may_be_large:
            server.check_size(arguments)
        return row.build(arguments)
    if row.name == "exec":
        each = partial(_begin_queued, server, may_be_large=may_be_large)
        return begin_exec(client, each, server.command_limits)
    return required(row.run, "way to run a command")(client, arguments)


def _begin_queued(
    server: "RedisServer", client: ClientState, arguments: Arguments, *, may_be_large: bool
) -> object:
    row = find(arguments)
    # Meanwhile the user may have lost a right.
    check_user(server, client, row)
    return _begun(server, client, row, arguments, may_be_large=may_be_large)
