"""The address that a node listens on: checking that it is free, and the error if it is not."""

import errno
import socket

from raftdb.endpoint import Endpoint
from raftdb.errors import Fatal
from raftdb.transport import short_reason

EXIT_NO_ADDRESS = 3
ELSEWHERE_HINT = (
    "--listen names an address of this machine; --advertise says where others reach it, if elsewhere"
)
HINTS = {
    errno.EADDRINUSE: "stop what uses it, or choose another address with --listen",
    errno.EACCES: "ports below 1024 are for root mostly: choose another with --listen",
}


def check_listen(listen: Endpoint) -> None:
    """Raise the `Fatal` of `cannot_listen` if `listen` cannot be bound now. It is released again."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                # As the listener does: what an earlier node has closed (TIME_WAIT) does not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        raise cannot_listen(listen, error) from error


def cannot_listen(listen: Endpoint, error: OSError) -> Fatal:
    """The error of a node that does not get its address."""
    return Fatal(
        f"cannot listen on {listen}: {short_reason(error)}",
        exit_code=EXIT_NO_ADDRESS,
        hint=HINTS.get(error.errno or 0, ELSEWHERE_HINT),
    )
