"""What a node was given to tell friends from strangers: read before it starts, and again while it runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from raftdb.server.access import password_of
from raftdb.server.certificates import Certificates
from raftdb.server.config import OFF, Settings
from raftdb.server.reloading import Reloaded, Reloading
from raftdb.server.secret_file import read_secrets, secrets_of
from raftdb.transport import PeerProof


class Security:
    """`certificates` is the TLS of this node, if it has any, and `http_tls` and `redis_tls` that of its listeners.
    `proof` is how it and its peers prove themselves to each other, `admin_password` that of the first user, and
    `reloading` reads files again."""

    def __init__(self, settings: Settings) -> None:
        """Read everything that the settings name. Blocks. Raises BadSetting."""
        parts = []
        if (path := settings.cluster_secret_file) is not None:
            parts.append(Reloaded("the secret of the cluster", (path,), partial(self._read_secrets, path)))
        self.certificates = None if settings.tls == OFF else Certificates(settings)
        if (certificates := self.certificates) is not None:
            parts.append(Reloaded("the certificates", certificates.paths, certificates.read))
        self.reloading = Reloading(parts)
        if certificates is not None:
            certificates.read()()
        self.http_tls = None if certificates is None else certificates.http
        self.redis_tls = None if certificates is None else certificates.redis
        self.proof = PeerProof(secrets_of(settings))
        self.proof.tls = None if certificates is None else certificates.peers
        self.admin_password = password_of(settings)

    def belong_to(self, cluster_id: str) -> None:
        """Take for peers only nodes of this cluster."""
        if self.certificates is not None:
            self.certificates.belong_to(cluster_id)

    def _read_secrets(self, path: Path) -> Callable[[], None]:
        return partial(self.proof.change, read_secrets(path))
