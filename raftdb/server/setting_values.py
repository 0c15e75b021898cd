"""How the values of settings are read, from a TOML file or as text.

Each reading raises ValueError, or BadAddress; its words follow the name of the setting.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from raftdb.endpoint import BadAddress, Endpoint, parse_endpoint, parse_reachable_endpoint
from raftdb.impairment import Conditions, parse_conditions
from raftdb.wire.fields import is_node_id

TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{16,128}")
HOST_PATTERN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def parse_node_id(text: object) -> str:
    """1 to 63 of letters, digits, dot, dash and underscore, the first a letter or digit."""
    if isinstance(text, str) and is_node_id(text):
        return text
    raise ValueError("an id has 1 to 63 letters, digits, dots, dashes or underscores")


def parse_peers(value: object) -> dict[str, Endpoint]:
    """`n1=HOST:PORT,n2=HOST:PORT,...` (or the same as a table): every first member's id and address."""
    if isinstance(value, str):
        pairs = [item.strip().partition("=") for item in value.split(",") if item.strip()]
        items = [(name, address) for name, _, address in pairs]
    elif isinstance(value, Mapping):
        items = list(value.items())
    else:
        raise ValueError("it is not a list ID=HOST:PORT,...")
    peers: dict[str, Endpoint] = {}
    for name, address in items:
        if parse_node_id(name) in peers:
            raise ValueError(f"{name} is named twice")
        try:
            peers[name] = parse_endpoint(address)
        except BadAddress as error:
            raise BadAddress(
                f"{address!r} is no address for {name}: {error.message}", hint=error.hint
            ) from None
    if not peers:
        raise ValueError("it names nobody")
    if len(set(peers.values())) != len(peers):
        raise ValueError("two members have the same address")
    return peers


def parse_names(value: object) -> dict[str, str]:
    """`n1=HOST,n2=HOST,...` (or the same as a table): names of hosts by the ids of members."""
    if isinstance(value, str):
        pairs = [item.strip().partition("=") for item in value.split(",") if item.strip()]
        value = {name: host for name, _, host in pairs}
    if not isinstance(value, Mapping) or not value:
        raise ValueError("it is not a list ID=HOST,...")
    return {parse_node_id(name): parse_hosts(host)[0] for name, host in value.items()}


def parse_join(value: object) -> tuple[Endpoint, ...]:
    """Addresses of a running cluster, `http://HOST:PORT` or HOST:PORT each, in one text or a list."""
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not texts:
        raise ValueError("it is not a list http://HOST:PORT,...")
    return tuple(map(parse_reachable_endpoint, texts))


def parse_hosts(value: object) -> tuple[str, ...]:
    """Names of hosts without ports, in one text with commas or a list."""
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not texts:
        raise ValueError("it is not a list HOST,...")
    names = [text.strip().lower() if isinstance(text, str) else "" for text in texts]
    if not all(HOST_PATTERN.fullmatch(name) for name in names):
        raise ValueError("it is not a list of names of hosts, without ports")
    return tuple(names)


def parse_positive(value: object) -> int:
    """A whole number above 0."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if type(number) is not int or number < 1:
        raise ValueError("it is not a whole number above 0")
    return number


def parse_flag(value: object) -> bool:
    """true or false, as TOML has them or as text."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("it is not true or false")


def parse_network(value: object) -> Conditions:
    """Conditions of links, in the words of `tc netem`."""
    if isinstance(value, str):
        return parse_conditions(value)
    raise ValueError("it is no text, such as 'delay 100ms 50ms loss 5%'")


def parse_token(value: object) -> str:
    """16 to 128 letters, digits, dashes and underscores. What is refused is not repeated, because it is a secret."""
    if isinstance(value, str) and TOKEN_PATTERN.fullmatch(value):
        return value
    raise ValueError("it is not 16 to 128 letters, digits, dashes and underscores")


def parse_text(value: object) -> str:
    """Text that is read later. It may be a secret, so it is not repeated."""
    if isinstance(value, str):
        return value
    raise ValueError("it is not text")


def parse_path(value: object) -> Path:
    """A path in the file system."""
    if isinstance(value, (str, Path)) and str(value):
        return Path(value)
    raise ValueError("it is not a path")


def one_of(*words: str) -> Callable[[object], str]:
    """A reading that admits these words only."""

    def parse(value: object) -> str:
        if isinstance(value, str) and value.lower() in words:
            return value.lower()
        raise ValueError(f"it is not one of {', '.join(words)}")

    return parse
