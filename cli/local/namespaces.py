"""A network namespace, and so an address, for each node of a local cluster: computers of their own, as far as the
network can tell.

The namespaces hang on one bridge, which this machine is on, too:

    raftdb-PID-n1: eth0 10.77.3.1 ──┐
    raftdb-PID-n2: eth0 10.77.3.2 ──┼── bridge rdbPID 10.77.3.254 of this machine: shell, browser, clients
    raftdb-PID-n3: eth0 10.77.3.3 ──┘

So what people know works on it: `ip netns exec raftdb-PID-n1 ping 10.77.3.2`, `tcpdump -i rdbPID`, and `tc` and
`iptables` within a namespace. It needs root, and `ip` of iproute2. What a process that was killed has left is removed
by the next one.
"""

import os
import random
import re
import shutil
import subprocess
from types import TracebackType
from typing import Self

from cli.console.failures import EXIT_FAILED, EXIT_PERMISSION, CommandError
from cli.local.folder import number_of

COMMAND_LIMIT_S = 20.0
NETWORKS_FROM, NETWORKS_TO = 64, 128
"""The networks are 10.N.M.0/24, N from and to below these, drawn by lot."""
BRIDGE_HOST = 254
_NAME = re.compile(r"raftdb-([0-9]+)-n[0-9]+")
_BRIDGE = re.compile(r"rdb([0-9]+)")


class Namespaces:
    """The namespaces of one cluster, inside a `with` block; each is made when its node is first asked for."""

    def __init__(self) -> None:
        self._bridge = f"rdb{os.getpid()}"
        self._network = ""
        self._nodes: list[str] = []

    def __enter__(self) -> Self:
        """Make the bridge. Raises `CommandError` where that is not allowed."""
        if shutil.which("ip") is None:
            raise CommandError(
                "demo",
                "network namespaces need the program ip",
                exit_code=EXIT_FAILED,
                hint="install iproute2",
            )
        if os.geteuid() != 0:
            raise CommandError(
                "demo", "network namespaces need root", exit_code=EXIT_PERMISSION, hint="run it with sudo"
            )
        _remove_left_over()
        network = f"10.{random.randrange(NETWORKS_FROM, NETWORKS_TO)}.{random.randrange(256)}"
        _ip("link", "add", self._bridge, "type", "bridge")
        try:
            _ip("addr", "add", f"{network}.{BRIDGE_HOST}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
        except BaseException:
            self.close()
            raise
        self._network = network
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove everything."""
        self.close()

    def host_of(self, node_id: str) -> str:
        """The address of a node, whose namespace is made if there is none yet. Raises `CommandError`."""
        host = f"{self._network}.{number_of(node_id)}"
        if node_id not in self._nodes:
            self._nodes.append(node_id)
            name, port = self.name_of(node_id), f"{self._bridge}n{number_of(node_id)}"
            _ip("netns", "add", name)
            _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", port, "master", self._bridge, "up")
            _ip("-n", name, "addr", "add", f"{host}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        return host

    def name_of(self, node_id: str) -> str:
        """The name of a node's namespace."""
        return f"raftdb-{os.getpid()}-{node_id}"

    def within(self, node_id: str) -> list[str]:
        """What stands before a command that is to run in a node's namespace, under the same process id."""
        return ["ip", "netns", "exec", self.name_of(node_id)]

    def close(self) -> None:
        """Remove what there is."""
        for node_id in self._nodes:
            _ip("netns", "del", self.name_of(node_id), is_needed=False)
        self._nodes.clear()
        _ip("link", "del", self._bridge, is_needed=False)


def _remove_left_over() -> None:
    """Remove the namespaces and bridges of processes that are gone."""
    for line in _ip("netns", "list").splitlines():
        found = _NAME.fullmatch(line.partition(" ")[0])
        if found is not None and not _runs(found[1]):
            _ip("netns", "del", found[0], is_needed=False)
    for interface in os.listdir("/sys/class/net"):
        found = _BRIDGE.fullmatch(interface)
        if found is not None and not _runs(found[1]):
            _ip("link", "del", interface, is_needed=False)


def _runs(pid: str) -> bool:
    return os.path.exists(f"/proc/{pid}")


def _ip(*words: str, is_needed: bool = True) -> str:
    """What `ip` prints. Raises `CommandError` if it fails, unless it is not needed."""
    done = subprocess.run(
        ["ip", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S,
    )  # fmt: skip
    if done.returncode != 0 and is_needed:
        raise CommandError(
            "demo",
            f"no network namespaces: ip {' '.join(words)}: {done.stderr.strip()}",
            exit_code=EXIT_FAILED,
            hint="a container may not make them: leave --namespaces out",
        )
    return done.stdout
