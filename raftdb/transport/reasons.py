"""The reasons of failed connections, in words for the log."""

import os
import socket
import ssl
from http import HTTPStatus

import aiohttp

from raftdb.errors import RemoteProtocolError
from raftdb.tls_reasons import tls_reason


class DialRefused(Exception):
    """The server at a dialled address did not take a link. `status` is its HTTP status, 0 if it does not speak HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


class CutOff(ConnectionError):
    """The link to `peer` is cut by fault injection, so nothing is sent over it."""

    def __init__(self, peer: str) -> None:
        super().__init__(f"the link to {peer} is cut")


def short_reason(error: object) -> str:
    """Why a connection failed, in a few words for the log: the operating system's where it gave any, else raftdb's own
    instead of a library's."""
    cause = error
    for _ in range(_CAUSES_MAX):
        # aiohttp's own error has the resolver's number as its errno, which is not one of the system's.
        if isinstance(cause, socket.gaierror | aiohttp.ClientConnectorDNSError):
            return "the host name cannot be resolved"
        if isinstance(cause, ssl.SSLError):
            return tls_reason(cause)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
        if not isinstance(cause, BaseException):
            break
        cause = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
    if isinstance(error, DialRefused):
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:  # the status of a node without room
            return "it takes no link now: it is stopping, or busy"
        if error.status == HTTPStatus.FORBIDDEN:
            return "it wants another proof of its peers: are TLS and the secret of the cluster alike at both nodes?"
        return f"HTTP status {error.status} in answer to a dial: is that a raftdb node?"
    if isinstance(error, RemoteProtocolError):
        return error.message
    return next((reason for kinds, reason in _REASONS if isinstance(error, kinds)), type(error).__name__)


_CAUSES_MAX = 5
_REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (CutOff, "cut by fault injection"),
    (TimeoutError, "no answer in time"),
    (aiohttp.ServerDisconnectedError, "closed by the peer"),
    (aiohttp.InvalidURL, "the address cannot be used"),
    ((aiohttp.ClientConnectionError, ConnectionError), "the connection broke"),
    (aiohttp.ClientError, "the answer is not one of a raftdb node"),
)
"""The words for errors without a reason of the system's; the first match counts."""
