"""The address of a node: one type and one parser for every address that is given, redirected to or learnt.

    Endpoint(host="::1", port=8001)            str: [::1]:8001           url(): http://[::1]:8001
    Endpoint(host="::1", port=8001, "https")   str: https://[::1]:8001   url(): the same

An address with `https://` is reached by TLS. Texts come from other nodes and from people, who may write `http://`
before an address, a slash after it, and IPv6 without brackets. A text that cannot be an address is refused here, with
the right spelling as a hint where there is one, so that no other module meets a host that the system's resolver or a
URL cannot take. Two spellings of one address are equal once parsed: hosts are lower case, IPv6 is compressed, and names
outside ASCII have the form in which they are looked up (RFC 3490). No name is resolved here: it may be known only
later, or only to other machines.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

SCHEME = "http"
TLS_SCHEME = "https"
ADDRESS_CHARACTERS_MAX = 320
"""Longest text of an address: a host name has at most 253 characters, and an IPv6 address with a zone is shorter."""
HOST_CHARACTERS_MAX = 253
EXAMPLE = "HOST:PORT, for example 127.0.0.1:8001"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
"""Part of a name between dots. RFC 1123 has no underscores in host names, but names of containers have them."""
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""Resolvers read a name that ends with such a part as an IPv4 address, whatever its other parts are."""
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,32}")


class BadAddress(ValueError):
    """A text is not an address. `message` says why, with "it" for the address ("it has no port"); `hint` is the next
    step."""

    def __init__(self, message: str, *, hint: str = f"write {EXAMPLE}") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """The address of a node. `host` is a name or an IP address in its one spelling, IPv6 without brackets."""

    host: str
    port: int
    scheme: str = SCHEME

    def __str__(self) -> str:
        """HOST:PORT or https://HOST:PORT, as in settings, in the configuration and in answers."""
        return self.authority if self.scheme == SCHEME else self.url()

    @property
    def authority(self) -> str:
        """HOST:PORT, as in URLs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_tls(self) -> bool:
        """Whether it is reached by TLS."""
        return self.scheme == TLS_SCHEME

    def over(self, scheme: str) -> "Endpoint":
        """The same, reached by `scheme`."""
        return Endpoint(self.host, self.port, scheme)

    def over_tls(self) -> "Endpoint":
        """The same, reached by TLS."""
        return self.over(TLS_SCHEME)

    def url(self, path: str = "") -> str:
        """The URL of `path`, which begins with a slash, at this endpoint; without one, of the node as a whole."""
        return f"{self.scheme}://{self.authority}{path}"

    @property
    def is_unspecified(self) -> bool:
        """Whether it stands for all addresses of a machine: a node can listen on it, but others cannot dial it."""
        address = _ip_address(self.host)
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return address is not None and address.is_unspecified


def text_of(endpoint: Endpoint | None) -> str | None:
    """HOST:PORT, or None where there is no endpoint."""
    return None if endpoint is None else str(endpoint)


@dataclass(frozen=True, slots=True)
class RedisAddresses:
    """Where Redis clients reach a node: `plain` ones, and `cluster`, those that follow a Redis cluster's redirections.
    None: there is no such port, or it is not known."""

    plain: Endpoint | None = None
    cluster: Endpoint | None = None

    @property
    def known(self) -> tuple[Endpoint, ...]:
        """Those of the two that there are."""
        return tuple(address for address in (self.plain, self.cluster) if address is not None)

    def or_else(self, other: "RedisAddresses") -> "RedisAddresses":
        """These addresses, and those of `other` where there is none."""
        return RedisAddresses(self.plain or other.plain, self.cluster or other.cluster)

    def named(self) -> dict[str, str | None]:
        """HOST:PORT of both, or None, under their names in settings and in JSON."""
        return {"redis": text_of(self.plain), "redis_cluster": text_of(self.cluster)}


NO_REDIS = RedisAddresses()
"""The addresses of a node that no Redis client can reach."""


def read_redis_addresses(
    facts: Mapping[str, object], read: Callable[[object], Endpoint | None]
) -> RedisAddresses:
    """The addresses in `facts`, by the names of `RedisAddresses.named`. `read` is given text, or None."""
    return RedisAddresses(read(facts.get("redis")), read(facts.get("redis_cluster")))


def parse_endpoint(text: object) -> Endpoint:
    """The endpoint that `text` names: HOST:PORT, also as `http://HOST:PORT/`, or `https://HOST:PORT`. Raises
    `BadAddress`."""
    if not isinstance(text, str):
        raise BadAddress("it is not text")
    if len(text) > ADDRESS_CHARACTERS_MAX:
        raise BadAddress(f"it is longer than {ADDRESS_CHARACTERS_MAX} characters")
    return _parse(text)


def parse_reachable_endpoint(text: object) -> Endpoint:
    """`parse_endpoint` for what others are told: to listen on all addresses says nothing of the one they can use."""
    return reachable(parse_endpoint(text))


def reachable(endpoint: Endpoint) -> Endpoint:
    """`endpoint`, if others can be told of it. Raises `BadAddress`."""
    if endpoint.is_unspecified:
        raise BadAddress(
            "it stands for all addresses of a machine, and is none at which others could reach it",
            hint=f"name one that others can reach, for example HOST:{endpoint.port}",
        )
    return endpoint


@lru_cache(maxsize=256)
def _parse(text: str) -> Endpoint:
    scheme, authority = _split_scheme(text.strip())
    authority = authority.removesuffix("/")
    if not authority:
        raise BadAddress("it is empty")
    if "@" in authority:
        raise BadAddress("a user or a password has no place in it")
    for mark in "/?#":
        if mark in authority:
            raise BadAddress(f"nothing may follow the port, and {mark!r} begins something")
    host, colon, port = authority.rpartition(":")
    bracketed = authority.startswith("[")
    if authority.count(":") > 1 and not bracketed:
        raise _bare_ipv6(authority, host, port)
    if not colon or (bracketed and "]" not in host):
        raise BadAddress("it has no port", hint=f"write {authority}:PORT, for example {authority}:8001")
    if not host:
        raise BadAddress("it has no host")
    return Endpoint(_bracketed_host(host) if bracketed else _host(host), _port(port), scheme)


def _split_scheme(text: str) -> tuple[str, str]:
    match = _SCHEME.fullmatch(text)
    if match is None:
        return SCHEME, text
    scheme = match[1].lower()
    if scheme not in (SCHEME, TLS_SCHEME):
        hint = f"write HOST:PORT, {SCHEME}://HOST:PORT or {TLS_SCHEME}://HOST:PORT"
        raise BadAddress(f"nodes speak {SCHEME} and {TLS_SCHEME}, not {match[1]}", hint=hint)
    return scheme, match[2]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise BadAddress(f"its port is not a number: {text!r}" if text else "it has no port")
    # The length is checked first, because Python refuses to convert thousands of digits with an error of its own.
    if len(text) > 5 or not 0 < int(text) < 65536:
        raise BadAddress(f"port {text} is not between 1 and 65535")
    return int(text)


def _bare_ipv6(authority: str, host: str, port: str) -> BadAddress:
    """The error for several colons outside brackets, with the spelling that was probably meant."""
    if port.isascii() and port.isdigit() and _is_ipv6(host):
        return BadAddress("an IPv6 address stands in brackets", hint=f"write [{host}]:{port}")
    if _is_ipv6(authority):
        hint = f"write [{authority}]:PORT, for example [{authority}]:8001"
        return BadAddress("an IPv6 address stands in brackets, and it has no port", hint=hint)
    return BadAddress("it has more than one colon")


def _is_ipv6(text: str) -> bool:
    return ":" in text and _ip_address(text) is not None


def _bracketed_host(text: str) -> str:
    if not text.endswith("]"):
        raise BadAddress("only a port may follow the bracket")
    address = _ip_address(text[1:-1])
    if not isinstance(address, IPv6Address):
        raise BadAddress("in brackets stands an IPv6 address, and this is none")
    return str(address)


def _host(text: str) -> str:
    """A name or an IPv4 address in its one spelling."""
    try:
        # ASCII is left as it is, because the codec's errors about it say less than those below.
        name = (text if text.isascii() else text.encode("idna").decode("ascii")).lower()
    except UnicodeError:
        raise BadAddress(f"{text!r} cannot be a host name") from None
    if _ip_address(name) is not None:
        return name
    # A dot at the end means that the name is complete: resolvers append no domain to it.
    labels = name.removesuffix(".").split(".")
    if "" in labels:
        raise BadAddress(f"{text!r} cannot be a host name: a part between dots is empty")
    if _NUMBER.fullmatch(labels[-1]):
        raise BadAddress(f"{text!r} is no IPv4 address: that has four numbers from 0 to 255")
    if len(name) > HOST_CHARACTERS_MAX or not all(map(_LABEL.fullmatch, labels)):
        hint = "letters, digits, dots and dashes make a host name, at most 63 of them between two dots"
        raise BadAddress(f"{text!r} cannot be a host name", hint=hint)
    return name


def _ip_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that `text` is, if it is one; None for a name."""
    try:
        if ":" not in text:
            return IPv4Address(text)
        address = IPv6Address(text)
    except ValueError:
        return None
    return address if address.scope_id is None or _ZONE.fullmatch(address.scope_id) else None
