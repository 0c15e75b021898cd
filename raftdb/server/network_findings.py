"""`raftdb doctor --network`: what a node with these settings exposes, to whom, and what those have to prove.

A finding is wrong if other machines than this one reach something for which nobody has to prove anything, whatever the
setting `insecure` says, or if what is to be a secret is none. Nothing is started, and nobody is asked. Each line is a
function in `LINES`.
"""

import ipaddress
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from raftdb.endpoint import Endpoint
from raftdb.server.config import BOTH, OFF, REQUIRED, BadSetting, Settings
from raftdb.server.exposure import WAYS_OUT, clients_are_proved, exposed, is_loopback, peers_are_proved
from raftdb.server.secret_file import secrets_of
from raftdb.transport import Secrets
from storage import Finding

NOBODY = "nobody proves anything"


@dataclass(frozen=True, slots=True)
class Examined:
    """What the lines are about. `secrets` may be why they cannot be used."""

    settings: Settings
    exposed: dict[str, Endpoint]
    secrets: Secrets | BadSetting


Line = Callable[[Examined], Iterator[Finding]]


def examine_network(settings: Settings) -> list[Finding]:
    """All findings. Looks names up, and reads files; blocks."""
    try:
        secrets: Secrets | BadSetting = secrets_of(settings)
    except BadSetting as error:
        secrets = error
    examined = Examined(settings, exposed(settings), secrets)
    return [finding for line in LINES for finding in line(examined)]


def reach_of(address: Endpoint) -> str:
    """Who reaches what listens on this address, in words."""
    if is_loopback(address):
        return "this machine alone"
    if address.is_unspecified:
        return "every network of this machine"
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return "unknown: its name cannot be looked up"
    hosts = [ipaddress.ip_address(str(where[0]).partition("%")[0]) for *_, where in found]
    if all(host.is_private or host.is_link_local for host in hosts):
        return "a private network"
    return "the internet, if nothing stands before it"


def _listeners(examined: Examined) -> Iterator[Finding]:
    """Each address at which the node listens."""
    for name, address in examined.settings.listens.items():
        door = {"http": "clients, pages and peers", "redis": "Redis clients"}.get(
            name, "clients of Redis clusters"
        )
        setting = "listen" if name == "http" else name
        yield Finding(setting, f"{address} for {door}; reached by {reach_of(address)}")


def _on_the_way(examined: Examined) -> str:
    """Whether others on the way can read it, in words."""
    return {OFF: "not encrypted", BOTH: "encrypted for whom wants that", REQUIRED: "encrypted"}[
        examined.settings.tls
    ]


def _peers(examined: Examined) -> Iterator[Finding]:
    """What peers prove."""
    secrets, is_exposed = examined.secrets, "http" in examined.exposed
    advice = "set tls and tls_ca, or cluster_secret_file (docs/security.md)"
    if peers_are_proved(examined.settings):
        yield Finding("peers", "prove by certificates which node of the cluster they are")
    elif isinstance(secrets, BadSetting):
        yield Finding("peers", secrets.message, False, secrets.hint)
    elif secrets == (None,):
        yield Finding("peers", NOBODY, not is_exposed, advice if is_exposed else None)
    elif None in secrets:
        what = "some prove that they know a secret; 'none' is accepted, too"
        advice = "take 'none' out of the secrets once all nodes have one"
        yield Finding("peers", what, not is_exposed, advice if is_exposed else None)
    else:
        count = "a secret" if len(secrets) == 1 else f"one of {len(secrets)} secrets"
        yield Finding("peers", f"prove that they know {count}; what they say is {_on_the_way(examined)}")


def _clients(examined: Examined) -> Iterator[Finding]:
    """What clients prove."""
    settings = examined.settings
    if settings.admin_password is not None or settings.admin_password_file is not None:
        passwords = f"passwords are {_on_the_way(examined)}"
        yield Finding("clients", f"are users; nobody is served before there is one; {passwords}")
        return
    if clients_are_proved(settings):
        yield Finding("clients", "show certificates of tls_client_ca, by TLS alone")
        return
    what = f"{NOBODY}, unless the cluster has users"
    advice = "set admin_password_file, or make a user (docs/security.md)"
    yield Finding("clients", what, not examined.exposed, advice if examined.exposed else None)


def _is_proved(settings: Settings) -> bool:
    return peers_are_proved(settings) and clients_are_proved(settings)


def _insecure(examined: Examined) -> Iterator[Finding]:
    """Whether the node starts."""
    settings = examined.settings
    if examined.exposed and not settings.insecure and not _is_proved(settings):
        yield Finding("insecure", "false: the node does not start as it is", False, WAYS_OUT)
    else:
        needed = "the node starts because of it" if examined.exposed else "not needed"
        yield Finding("insecure", f"true: {needed}" if settings.insecure else "false")


def _pages(examined: Examined) -> Iterator[Finding]:
    """Pages for browsers, and who else they speak to."""
    settings = examined.settings
    may = {"off": "none", "read": "may read", "write": "may act, with a token"}[settings.dashboard]
    yield Finding("dashboard", may)
    if settings.allowed_hosts:
        yield Finding("allowed_hosts", ", ".join(settings.allowed_hosts))
    control = settings.dashboard_control
    if control is not None:
        is_here = is_loopback(control)
        advice = None if is_here else "whoever reaches it stops and starts nodes: use a loopback address"
        yield Finding("dashboard_control", f"{control}; reached by {reach_of(control)}", is_here, advice)


def _faults(examined: Examined) -> Iterator[Finding]:
    """Whether clients may cut this node off."""
    if examined.settings.fault_injection:
        is_safe = not examined.exposed
        advice = (
            None if is_safe else "leave it out where strangers reach the node: it is for lessons and tests"
        )
        yield Finding(
            "fault_injection", "true: clients may cut and slow the links of this node", is_safe, advice
        )


def _folder(examined: Examined) -> Iterator[Finding]:
    """Who may read the data."""
    path: Path = examined.settings.data
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        yield Finding("data", f"{path}: not there yet")
        return
    except OSError as error:
        yield Finding("data", f"{path}: {(error.strerror or str(error)).lower()}", False)
        return
    is_private = not mode & (stat.S_IRWXG | stat.S_IRWXO)
    advice = None if is_private else f"chmod 700 {path}"
    who = "its owner alone" if is_private else f"others, too (mode {mode:04o})"
    yield Finding("data", f"{path}: read by {who}; not encrypted", is_private, advice)


LINES: tuple[Line, ...] = (_listeners, _peers, _clients, _insecure, _pages, _faults, _folder)
"""The lines, in the order in which they are shown."""
