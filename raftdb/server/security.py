"""What a node was given to tell friends from strangers: read before it starts, and again while it runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from raftdb.server.access import password_of
from raftdb.server.config import Settings
from raftdb.server.reloading import Reloaded, Reloading
from raftdb.server.secret_file import read_secrets, secrets_of
from raftdb.transport import PeerProof


class Security:
    """`proof` is how this node and its peers prove themselves to each other, `admin_password` that of the first user,
    and `reloading` reads files again."""

    def __init__(self, settings: Settings) -> None:
        """Read everything that the settings name. Blocks. Raises BadSetting."""
        parts = []
        if (path := settings.cluster_secret_file) is not None:
            parts.append(Reloaded("the secret of the cluster", (path,), partial(self._read_secrets, path)))
        self.reloading = Reloading(parts)
        self.proof = PeerProof(secrets_of(settings))
        self.admin_password = password_of(settings)

    def _read_secrets(self, path: Path) -> Callable[[], None]:
        return partial(self.proof.change, read_secrets(path))
