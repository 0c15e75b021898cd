"""The addresses of a client's nodes: given by a caller, or named by a node. No I/O."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from raftdb.client.given import as_text, several
from raftdb.endpoint import BadAddress, Endpoint, parse_endpoint, parse_reachable_endpoint
from raftdb.errors import RequestRefused

DEFAULT_ADDRESSES = "127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003"
"""The addresses of the first three nodes of `raftdb up`."""


def parse_addresses(text: str) -> tuple[Endpoint, ...]:
    """The addresses in `HOST:PORT,HOST:PORT`, each with `http://`, with `https://` or without, in order, each once.

    Raises `RequestRefused` `bad_request` naming the part that is not an address.
    """
    addresses = dict.fromkeys(_parse_address(part.strip()) for part in text.split(",") if part.strip())
    if not addresses:
        raise RequestRefused("bad_request", "no node address given", hint="write HOST:PORT[,HOST:PORT...]")
    return tuple(addresses)


def _parse_address(part: str) -> Endpoint:
    if "@" in part:  # what stands before it may be a secret, and is not repeated
        message = "an address has no user and no password before it"
        raise RequestRefused("bad_request", message, hint="they are arguments of their own, as is a token")
    try:
        return parse_endpoint(part)
    except BadAddress as error:
        message = f"{json.dumps(part)} is not a node address: {error.message}"
        raise RequestRefused("bad_request", message, hint=error.hint) from None


def parse_member_address(text: str) -> str:
    """HOST:PORT of a member for the other nodes. Raises `RequestRefused` `bad_request`."""
    try:
        return str(parse_reachable_endpoint(text))
    except BadAddress as error:
        message = f"{json.dumps(text)} cannot be a member's address: {error.message}"
        raise RequestRefused("bad_request", message, hint=error.hint) from None


def learnt_endpoint(text: object) -> Endpoint | None:
    """The address in `text`, HOST:PORT or a URL, that a node named; None if it is not one that can be dialled."""
    try:
        return parse_reachable_endpoint(text)
    except BadAddress:
        return None


def addresses_of(given: str | Iterable[str]) -> tuple[Endpoint, ...]:
    """`parse_addresses` of a text, or of several. Raises `TypeError` for anything else."""
    if isinstance(given, str):
        return parse_addresses(given)
    return parse_addresses(as_text(b",".join(several(given, "addresses of nodes"))))


def parse_url(url: str) -> tuple[str, dict[str, Any]]:
    """The addresses and options of a client in a URL: `raftdb://HOST:PORT,HOST:PORT/?timeout_ms=500`.

    The addresses are not checked here. Raises `TypeError`, and `RequestRefused` for an unknown option or a bad value of
    one.
    """
    if not isinstance(url, str):
        raise TypeError(f"a URL is str, not {type(url).__name__}")
    addresses, _, query = url.strip().partition("?")
    scheme = "raftdb://"
    if addresses.lower().startswith(scheme):
        addresses = addresses[len(scheme) :].removesuffix("/")
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        read = _OPTIONS.get(name)
        value = None if read is None else read(text)
        if read is None or value is None:
            raise RequestRefused(
                "bad_request",
                f"{json.dumps(name)} cannot be {json.dumps(text)} in the URL of a client"
                if read is not None
                else f"there is no option {json.dumps(name)} in the URL of a client",
                hint=f"the options are: {', '.join(_OPTIONS)}",
            )
        options[name] = value
    return addresses, options


def _milliseconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None


_OPTIONS: dict[str, Callable[[str], float | bool | None]] = {
    "timeout_ms": _milliseconds,
    "unreachable_timeout_ms": _milliseconds,
    "sessions": {"true": True, "false": False}.get,
}
"""The options of a URL, each with the function that reads it, which returns None for a bad value."""
