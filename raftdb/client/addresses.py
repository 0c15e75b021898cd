"""Addresses as a client meets them: given by a person, or named by a node. No I/O."""

import json

from raftdb.endpoint import BadAddress, parse_endpoint, parse_reachable_endpoint
from raftdb.errors import RequestRefused


def parse_addresses(text: str) -> tuple[str, ...]:
    """The addresses in `HOST:PORT,HOST:PORT`, each with or without `http://`, without doubles, in order.

    Raises `RequestRefused` `bad_request` naming the part that is not an address.
    """
    addresses = dict.fromkeys(_parse_address(part.strip()) for part in text.split(",") if part.strip())
    if not addresses:
        raise RequestRefused("bad_request", "no node address given", hint="write HOST:PORT[,HOST:PORT...]")
    return tuple(addresses)


def _parse_address(part: str) -> str:
    try:
        return str(parse_endpoint(part))
    except BadAddress as error:
        message = f"{json.dumps(part)} is not a node address: {error.message}"
        raise RequestRefused("bad_request", message, hint=error.hint) from None


def parse_member_address(text: str) -> str:
    """HOST:PORT at which others are to reach a member. Raises `RequestRefused` `bad_request`."""
    try:
        return str(parse_reachable_endpoint(text))
    except BadAddress as error:
        message = f"{json.dumps(text)} cannot be a member's address: {error.message}"
        raise RequestRefused("bad_request", message, hint=error.hint) from None


def learnt_address(text: str) -> str | None:
    """HOST:PORT of an address or a URL that a node named; None if it is none that can be reached."""
    try:
        return str(parse_reachable_endpoint(text))
    except BadAddress:
        return None
