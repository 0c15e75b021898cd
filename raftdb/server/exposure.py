"""Whom a node can be reached by: a node that others reach proves who may speak, or was told not to.

On a loopback address only this machine reaches a node, and nothing is asked for. On any other address whoever is on the
network reads, writes and takes nodes in, so a node does not begin to listen there unless its peers and its clients have
to prove who they are, or the setting `insecure` says that the network itself keeps strangers away.
"""

import ipaddress
import socket

from raftdb.endpoint import Endpoint
from raftdb.server.config import REQUIRED, BadSetting, Settings

WAYS_OUT = (
    "listen on a loopback address such as 127.0.0.1, or set tls = required with tls_ca for the certificates of nodes, "
    "and tls_client_ca or admin_password_file for clients, or set insecure = true if only nodes and clients that you "
    "trust reach it"
)


def is_loopback(address: Endpoint) -> bool:
    """Whether only this machine reaches what listens on `address`. A name is looked up, which may block; one that
    cannot be is not counted as loopback."""
    if address.host == "localhost":
        return True
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    hosts = [ipaddress.ip_address(str(where[0]).partition("%")[0]) for *_, where in found]
    return all(host.is_loopback for host in hosts)


def exposed(settings: Settings) -> dict[str, Endpoint]:
    """The listeners that other machines may reach, by name."""
    return {name: address for name, address in settings.listens.items() if not is_loopback(address)}


def peers_are_proved(settings: Settings) -> bool:
    """Whether every peer has to prove that it is one, and nobody else hears what is said."""
    return settings.tls == REQUIRED and settings.tls_ca is not None


def clients_are_proved(settings: Settings) -> bool:
    """Whether every client has to prove who it is: by a certificate, or as a user whose password nobody else hears."""
    has_users = settings.admin_password is not None or settings.admin_password_file is not None
    return settings.tls == REQUIRED and (settings.tls_client_ca is not None or has_users)


def check_exposure(settings: Settings) -> None:
    """Raise BadSetting if this node would serve strangers, and was not told to."""
    if settings.insecure or (peers_are_proved(settings) and clients_are_proved(settings)):
        return
    for name, address in exposed(settings).items():
        setting = "listen" if name == "http" else name
        raise BadSetting(
            f"{setting} is {address}, where other machines reach this node, and nobody has to prove who they are",
            hint=WAYS_OUT,
        )
