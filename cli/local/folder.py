"""The folder of a local cluster: its nodes, their addresses, and the lock of the `up` that runs it.

    <data>/cluster.json   the nodes and their addresses, always whole: temp, fsync, rename, fsync folder
    <data>/up.lock        flock: one `raftdb up` per folder; holds its pid
    <data>/n1, n2, ...    the nodes' own data folders
    <data>/n1.log, ...    what the nodes say while the shell has the terminal
    <data>/n1.pid, ...    the running nodes' process ids

Addresses are part of a cluster's configuration, so a cluster that is started again gets the same ones, or does not
start. A node that is added later is written down before it starts, and one that was removed loses its place and its
data; what it said stays.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from cli.console.failures import (
    EXIT_ADDRESS_IN_USE,
    EXIT_FAILED,
    EXIT_FOLDER,
    EXIT_INPUT_OUTPUT,
    EXIT_PERMISSION,
    EXIT_USAGE,
    CommandError,
    reason,
)
from raftdb.endpoint import parse_endpoint
from raftdb.errors import RequestRefused
from raftdb.ownership import make_folder_for_owner, open_for_owner

FORMAT = 3
HOST = "127.0.0.1"
PORTS_FIRST = {"http": 8001, "redis": 6381, "redis_cluster": 6391}
"""The ports of the first node. The others have the ones after them, or the next that are free."""
PORTS_TRIED_MAX = 1_000
NODES_MAX = 15
"""More nodes would make a cluster slower and not safer, and this machine has to run them all."""
SYSTEM_FAILURES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), (EXIT_FAILED, "free some space on this disk")),
    **dict.fromkeys((errno.EACCES, errno.EPERM), (EXIT_PERMISSION, "run it as the folder's owner")),
    errno.EROFS: (EXIT_PERMISSION, "its file system is mounted for reading only: mount it for writing"),
    errno.EIO: (EXIT_INPUT_OUTPUT, "the disk or its file system failed: see the kernel's log (dmesg)"),
}
"""The exit code and the next step for system errors of the folder; other errors have `EXIT_FOLDER`."""
ID = re.compile(r"n([1-9][0-9]{0,8})")
"""The ids of nodes here. They are names of folders, which may be deleted."""
_CLUSTER_FILE = "cluster.json"
_LOCK_FILE = "up.lock"


@dataclass(frozen=True, slots=True)
class NodePlace:
    """One node of a local cluster: its id, and HOST:PORT of its listeners, which have the names of their settings.

    `peers` are the members that the cluster began with, if this node was one of them; None: it joins the others.
    """

    id: str
    http: str
    redis: str
    redis_cluster: str
    peers: str | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of all listeners."""
        return tuple(getattr(self, kind) for kind in PORTS_FIRST)


HostOf = Callable[[str], str]
"""The address of a node that has one of its own."""


class LocalFolder:
    """The folder of one local cluster. All methods raise `CommandError` with the exit code of a server."""

    def __init__(
        self, path: Path, *, ports_first: Mapping[str, int] | None = None, host_of: HostOf | None = None
    ) -> None:
        """`ports_first` are the first ports that nodes may get, by listener, as in `PORTS_FIRST`. With `host_of` each
        node has all these ports, at an address of its own."""
        self.path = path
        self._host_of = host_of
        self._ports_first = ports_first or PORTS_FIRST
        self._lock: int | None = None

    def data_path(self, node_id: str) -> Path:
        """The data folder of a node."""
        return self.path / node_id

    def log_path(self, node_id: str) -> Path:
        """The file for a node's output while the shell uses the terminal."""
        return self.path / f"{node_id}.log"

    def lock(self) -> None:
        """Lock the folder for this process, and make it if it does not exist. The lock ends with the process. In a
        folder with other content not even the lock is written."""
        with self.told():
            make_folder_for_owner(self.path)
            self._refuse_foreign()
            lock = open_for_owner(self.path / _LOCK_FILE, os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise self._failure(f"cannot lock the folder {self.path}: {error.strerror}") from error
            raise self._failure(
                f"another 'raftdb up' (pid {holder or '?'}) runs the cluster in {self.path}",
                hint="'raftdb shell' opens a shell on it; --data DIR starts another cluster",
            ) from None
        self._lock = lock
        with self.told():
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

    def unlock(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> tuple[NodePlace, ...]:
        """The nodes of the cluster in this folder; none if there is no cluster yet."""
        path = self.path / _CLUSTER_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise self._failure(f"{path} has format {content['format']!r}: this raftdb knows {FORMAT}")
            nodes = tuple(map(_place, content["nodes"]))
            # Without nodes a new cluster would be made on old folders.
            numbers = [number_of(node.id) for node in nodes]
            if not numbers or 0 in numbers or numbers != sorted(set(numbers)):
                raise ValueError(f"its nodes are {', '.join(node.id for node in nodes) or 'none'}")
            return nodes
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._failure(
                f"{path} cannot be read: {error}",
                hint="it names the nodes' addresses: bring it back from a copy, or name another folder with --data",
            ) from error

    def create(self, count: int) -> tuple[NodePlace, ...]:
        """Choose addresses for a new cluster of `count` nodes, and write them down durably, before any node starts."""
        self._refuse_foreign()
        nodes = _new_places(
            [f"n{number + 1}" for number in range(count)], (), self._ports_first, self._host_of
        )
        peers = ",".join(f"{node.id}={node.http}" for node in nodes)
        nodes = tuple(replace(node, peers=peers) for node in nodes)
        self._write(nodes)
        return nodes

    def add(self, nodes: Sequence[NodePlace], node_id: str) -> NodePlace:
        """Choose addresses for one more node beside `nodes`, and write it down durably, before it starts. Raises
        `RequestRefused` for an id that it cannot have."""
        last = number_of(nodes[-1].id)
        if number_of(node_id) <= last:
            raise RequestRefused(
                "bad_request",
                f"a node that is started here cannot be called {node_id!r}",
                hint=f"the next one is n{last + 1}",
            )
        (place,) = _new_places([node_id], nodes, self._ports_first, self._host_of)
        self._write((*nodes, place))
        return place

    def forget(self, nodes: Sequence[NodePlace], node_id: str) -> None:
        """Take one of the `nodes` out of this folder, with its data."""
        # A node without its data would be taken for a new one, so its place goes first.
        self._write([node for node in nodes if node.id != node_id])
        with self.told():
            if self.data_path(node_id).exists():
                shutil.rmtree(self.data_path(node_id))
            self.write_pid(node_id, None)

    def _write(self, nodes: Sequence[NodePlace]) -> None:
        content = {"format": FORMAT, "nodes": [asdict(node) for node in nodes]}
        with self.told():
            _write_durably(self.path / _CLUSTER_FILE, json.dumps(content, indent=2) + "\n")

    def check_addresses(self, nodes: tuple[NodePlace, ...]) -> None:
        """Raise `CommandError` if an address of the cluster is in use."""
        for node in nodes:
            for address in node.addresses:
                if is_free(parse_endpoint(address).port):
                    continue
                raise CommandError(
                    "up",
                    f"{address} of node {node.id} is already in use",
                    exit_code=EXIT_ADDRESS_IN_USE,
                    hint="the cluster keeps its addresses: stop the other program, or use another --data folder",
                )

    def write_pid(self, node_id: str, pid: int | None) -> None:
        """Write down the process id of a node, or remove it (None)."""
        path = self.path / f"{node_id}.pid"
        with self.told():
            if pid is None:
                path.unlink(missing_ok=True)
            else:
                descriptor = open_for_owner(path, os.O_WRONLY | os.O_TRUNC, 0o666)
                with open(descriptor, "w", encoding="ascii") as stream:
                    stream.write(f"{pid}\n")

    def noted_pid(self, node_id: str) -> int | None:
        """The process id that was last written down for a node; None if there is none."""
        try:
            pid = int((self.path / f"{node_id}.pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return pid if pid > 0 else None

    def wipe(self, nodes: tuple[NodePlace, ...]) -> None:
        """Delete the cluster in this folder, which has these `nodes`. If there is anything else in it, nothing is
        deleted."""
        unexpected = self._foreign_entries({node.id for node in nodes})
        if unexpected:
            raise CommandError(
                "up",
                f"{self.path} holds more than a cluster ({', '.join(unexpected[:3])}): nothing was deleted",
                exit_code=EXIT_FOLDER,
                hint="delete by hand what is not needed any more",
            )
        # The list of nodes is deleted last, so that an interrupted deletion can be repeated.
        with self.told():
            for node in nodes:
                if self.data_path(node.id).exists():
                    shutil.rmtree(self.data_path(node.id))
                self.write_pid(node.id, None)
            for log in filter(_is_log, self.path.iterdir()):
                log.unlink()
            (self.path / _CLUSTER_FILE).unlink(missing_ok=True)

    def _refuse_foreign(self) -> None:
        """Raise `CommandError` if the folder is not empty and has no cluster in it."""
        unexpected = self._foreign_entries()
        # This is checked last, because another process may just be making the cluster.
        if unexpected and not (self.path / _CLUSTER_FILE).exists():
            raise self._failure(
                f"{self.path} is not empty and holds no cluster: {', '.join(unexpected[:3])}",
                hint="name another folder with --data DIR",
            )

    def _foreign_entries(self, node_ids: set[str] | None = None) -> list[str]:
        """The names in the folder that do not belong to a cluster of these nodes, sorted. Symbolic links never do."""
        ids = node_ids or set()
        files = {_CLUSTER_FILE, _LOCK_FILE, f"{_CLUSTER_FILE}.new"}
        files |= {f"{node_id}.pid" for node_id in ids}
        foreign = []
        for entry in self.path.iterdir():
            ours = entry.is_dir() if entry.name in ids else entry.is_file() and entry.name in files
            # What removed nodes said is there as well.
            ours = ours or (node_ids is not None and _is_log(entry) and entry.is_file())
            # Version control systems keep an empty folder by a file of this name.
            if entry.is_symlink() or not (ours or entry.name == ".gitkeep"):
                foreign.append(entry.name)
        return sorted(foreign)

    @contextmanager
    def told(self) -> Iterator[None]:
        """A context in which an `OSError` becomes a `CommandError` about this folder, with the exit code of its
        reason."""
        try:
            yield
        except OSError as error:
            exit_code, hint = SYSTEM_FAILURES.get(error.errno or 0, (EXIT_FOLDER, None))
            message = f"cannot use the folder {self.path}: {reason(error)}"
            raise CommandError("up", message, exit_code=exit_code, hint=hint) from error

    def _failure(self, message: str, *, hint: str | None = None) -> CommandError:
        return CommandError("up", message, exit_code=EXIT_FOLDER, hint=hint)


def number_of(node_id: str) -> int:
    """The number in the id of a node here, from 1; 0 for any other id."""
    match = ID.fullmatch(node_id)
    return 0 if match is None else int(match[1])


def check_node_count(count: int) -> int:
    """`count`, if a local cluster may have this many nodes. Raises `CommandError` if not."""
    if not 1 <= count <= NODES_MAX:
        raise CommandError("up", f"--nodes must be from 1 to {NODES_MAX}", exit_code=EXIT_USAGE)
    return count


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of the local host now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this, too: connections in TIME_WAIT of an earlier server do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _place(row: Mapping[str, object]) -> NodePlace:
    """A node as it is written down. Raises KeyError or `ValueError` if it is not one."""
    http, redis, redis_cluster = (str(parse_endpoint(str(row[kind]))) for kind in PORTS_FIRST)
    peers = None if row["peers"] is None else str(row["peers"])
    return NodePlace(str(row["id"]), http, redis, redis_cluster, peers)


def _is_log(path: Path) -> bool:
    """Whether this is the name of what a node said, which may be removed by now."""
    return path.suffix == ".log" and number_of(path.stem) > 0


def _new_places(
    node_ids: Sequence[str],
    beside: Sequence[NodePlace],
    ports_first: Mapping[str, int],
    host_of: HostOf | None,
) -> tuple[NodePlace, ...]:
    """Nodes with these ids, on ports that are free and not those of others here, whether these run or not."""
    if host_of is not None:
        return tuple(
            NodePlace(node_id, *(f"{host}:{ports_first[kind]}" for kind in PORTS_FIRST))
            for node_id, host in zip(node_ids, map(host_of, node_ids), strict=True)
        )
    chosen = [parse_endpoint(address).port for node in beside for address in node.addresses]
    count, given = len(node_ids), len(chosen)
    for first in (ports_first[kind] for kind in PORTS_FIRST):
        chosen += _free_ports(first, count, taken=chosen)
    return tuple(
        NodePlace(node_id, *(f"{HOST}:{port}" for port in chosen[given + number :: count]))
        for number, node_id in enumerate(node_ids)
    )


def _free_ports(first: int, count: int, *, taken: Collection[int]) -> list[int]:
    """The next `count` free ports from `first` on, without those that are `taken`."""
    tried = range(first, first + PORTS_TRIED_MAX)
    found = list(islice((port for port in tried if port not in taken and is_free(port)), count))
    if len(found) < count:
        raise CommandError("up", f"no free port from {first} to {tried[-1]}", exit_code=EXIT_ADDRESS_IN_USE)
    return found


def _write_durably(path: Path, text: str) -> None:
    """Replace `path` durably, so that a crash leaves the old content or the new."""
    temporary = path.with_name(path.name + ".new")
    descriptor = open_for_owner(temporary, os.O_WRONLY | os.O_TRUNC, 0o666)
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
