"""The names of the facts that a folder keeps beside its log, of the node itself, of its peers, and of the life of the
cluster; and what becomes of them when the folder gets another cluster."""

from collections.abc import Iterable
from dataclasses import replace

from raftdb.core.model import NodeId
from raftdb.node.starts import decode_own, encode_own
from storage import LogStore

ADDRESS_FACT = "address"
"""The address that this node was last known at, as it was given in the settings then."""
STARTS_FACT = "starts"
"""The record of the starts of this node."""
BIRTH_FACT = "birth"
"""Which life of the cluster the folder belongs to, once that is certain."""
REMOVED_FACT = "removed"
"""The ids of the peers that told this node of its own removal, with spaces between them; empty if none is believed."""
USERS_FACT = "users"
"""That the cluster has users, once this node has seen one: it serves nobody before it has them again."""
PEER_PREFIX = "peer:"
"""Before the id of a peer: the data folder that was first met under it."""
CREDENTIAL_PREFIX = "credential:"
"""Before the id of a peer: the credential that it shows."""
STARTS_PREFIX = "starts:"
"""Before the id of a peer: its starts that were met."""


def birth_of(log: LogStore) -> str | None:
    """Which life of the cluster the folder belongs to, as far as it knows."""
    return (log.get_meta(BIRTH_FACT) or b"").decode() or None


def forget_peers(log: LogStore, members: Iterable[NodeId]) -> None:
    """Forget the life of the old cluster, the starts of its members and what they said of this node, because the folder
    now belongs to another cluster."""
    log.put_meta(BIRTH_FACT, b"")
    log.put_meta(REMOVED_FACT, b"")
    for member in members:
        log.put_meta(STARTS_PREFIX + member, b"")
    own = log.get_meta(STARTS_FACT)
    if own is not None:
        log.put_meta(STARTS_FACT, encode_own(replace(decode_own(own), doubted=())))
