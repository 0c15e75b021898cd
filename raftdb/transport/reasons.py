"""Why a connection failed, in words for the log."""

import os
import socket
from http import HTTPStatus

import aiohttp

from raftdb.errors import RemoteProtocolError


class DialRefused(Exception):
    """Whoever answers at an address does not take a link; `status` is that of HTTP, 0 if it speaks none."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


def short_reason(error: object) -> str:
    """Why a connection failed, in a few words for the log: those of the system where it gave any, and ours
    instead of a library's."""
    cause = error
    for _ in range(_CAUSES_MAX):
        # aiohttp's own error has the resolver's number, which is none of the system's.
        if isinstance(cause, socket.gaierror | aiohttp.ClientConnectorDNSError):
            return "the host name cannot be resolved"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
        if not isinstance(cause, BaseException):
            break
        cause = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
    if isinstance(error, DialRefused):
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:  # what a node that cannot take a link now says
            return "it takes no link now: it is stopping, or busy"
        return f"HTTP status {error.status} in answer to a dial: is that a raftdb node?"
    if isinstance(error, RemoteProtocolError):
        return error.message
    return next((reason for kinds, reason in _REASONS if isinstance(error, kinds)), type(error).__name__)


_CAUSES_MAX = 5
_REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (TimeoutError, "no answer in time"),
    (aiohttp.ServerDisconnectedError, "closed by the peer"),
    (aiohttp.InvalidURL, "the address cannot be used"),
    ((aiohttp.ClientConnectionError, ConnectionError), "the connection broke"),
    (aiohttp.ClientError, "the answer is not one of a raftdb node"),
)
"""What is said of errors that the system gave no reason for; the first that fits."""
