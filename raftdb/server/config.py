"""A node's settings: defaults, then a TOML file, then the environment, then flags; later ones win.

One table, the fields of `Settings`: each has a name, a type, a default and a reading of text. A key that is not in
the table is refused by name, and so is a value that does not fit.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from raftdb.endpoint import (
    BadAddress,
    Endpoint,
    RedisAddresses,
    parse_endpoint,
    parse_reachable_endpoint,
    reachable,
)
from raftdb.errors import Fatal
from raftdb.impairment import NO_CONDITIONS, BadConditions, Conditions
from raftdb.limits import BESIDE_VALUE_BYTES, COMMAND_BYTES_CEILING, VALUE_BYTES_CEILING
from raftdb.memory import MEMORY_BYTES_MAX, MEMORY_BYTES_MIN
from raftdb.node.history import HISTORY_BYTES_MAX, HISTORY_SECONDS_MAX
from raftdb.server.environment import CONFIG_FILE, settings_in
from raftdb.server.private_file import is_private, mode_of
from raftdb.server.setting_values import (
    one_of,
    parse_flag,
    parse_hosts,
    parse_join,
    parse_names,
    parse_network,
    parse_node_id,
    parse_path,
    parse_peers,
    parse_positive,
    parse_text,
    parse_token,
)

EXIT_CONFIGURATION = 2

OFF, BOTH, REQUIRED = "off", "both", "required"
"""Values of the setting `tls`."""


class BadSetting(Fatal):
    """A setting is unknown, missing or does not fit: exit code 2."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, exit_code=EXIT_CONFIGURATION, hint=hint)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a node is told from outside. Times in milliseconds, sizes in bytes."""

    id: str = field(default="n1", metadata={"parse": parse_node_id})
    listen: Endpoint = field(default=Endpoint("127.0.0.1", 8001), metadata={"parse": parse_endpoint})
    """Clients' HTTP and peers, on one address."""
    advertise: Endpoint | None = field(default=None, metadata={"parse": parse_reachable_endpoint})
    """The address others reach `listen` at, if it is another one."""
    insecure: bool = field(default=False, metadata={"parse": parse_flag})
    """Whether the node may listen where others reach it though nobody has to prove who they are."""
    allowed_hosts: tuple[str, ...] | None = field(default=None, metadata={"parse": parse_hosts})
    """Names under which browsers and clients may reach this node, beside those of `listen` and of the members."""
    dashboard: str = field(default="read", metadata={"parse": one_of("off", "read", "write")})
    """Whether the node has pages for browsers, and whether they may act."""
    dashboard_token: str | None = field(
        default=None, repr=False, metadata={"parse": parse_token, "is_secret": True}
    )
    """What a page bears that acts: the same at all nodes."""
    dashboard_control: Endpoint | None = field(default=None, metadata={"parse": parse_endpoint})
    """Where pages reach the owner of the nodes' processes, as `raftdb up` is."""
    redis: Endpoint | None = field(default=None, metadata={"parse": parse_endpoint})
    redis_cluster: Endpoint | None = field(default=None, metadata={"parse": parse_endpoint})
    """Where clients of Redis clusters connect, which a node that does not lead sends to the leader."""
    redis_redirect: str = field(default="forward", metadata={"parse": one_of("forward", "moved")})
    """What a node that does not lead does with commands of Redis clients at `redis`."""
    reads: str = field(default="leader", metadata={"parse": one_of("leader", "any")})
    """Which node serves linearizable reads: the leader alone, or any, by asking the leader from which index on."""
    cluster_secret_file: Path | None = field(default=None, metadata={"parse": parse_path})
    """The file with the secrets by which the nodes of the cluster know each other (`raftdb.server.secret_file`)."""
    cluster_secret: str | None = field(
        default=None, repr=False, metadata={"parse": parse_text, "is_secret": True}
    )
    """The same without a file, for the environment."""
    admin_password_file: Path | None = field(default=None, metadata={"parse": parse_path})
    """The file with the password of the user `admin`, whom a cluster without users gets (`raftdb.server.access`)."""
    admin_password: str | None = field(
        default=None, repr=False, metadata={"parse": parse_text, "is_secret": True}
    )
    """The same without a file, for the environment."""
    admin_reset: bool = field(default=False, metadata={"parse": parse_flag})
    """Whether this node, once it leads, gives `admin` this password and the role, though there are users."""
    tls: str = field(default=OFF, metadata={"parse": one_of(OFF, BOTH, REQUIRED)})
    """Whether connections are by TLS: none, those of whom wants that, or all."""
    tls_cert: Path | None = field(default=None, metadata={"parse": parse_path})
    """This node's certificate, for clients and peers, with those between it and the CA."""
    tls_key: Path | None = field(default=None, metadata={"parse": parse_path})
    tls_ca: Path | None = field(default=None, metadata={"parse": parse_path})
    """The CA of the nodes: with it peers prove by certificates who they are."""
    tls_client_ca: Path | None = field(default=None, metadata={"parse": parse_path})
    """The CA of the clients, who need a certificate of it then."""
    tls_peer_names: dict[str, str] | None = field(default=None, metadata={"parse": parse_names})
    """The DNS names in the certificates of members, by id, beside those that name them by a URI."""
    data: Path = field(default=Path("data"), metadata={"parse": parse_path})
    peers: dict[str, Endpoint] | None = field(default=None, metadata={"parse": parse_peers})
    """First members, id to address; read when the folder is new. None: a cluster of this node alone."""
    join: tuple[Endpoint, ...] | None = field(default=None, metadata={"parse": parse_join})
    """Nodes of a running cluster that a new folder's node asks to take it in; not asked once it is a member."""
    members: dict[str, Endpoint] | None = field(default=None, metadata={"parse": parse_peers})
    """The present addresses of members that have moved since this node last ran, by id; this node included, if it has
    moved."""
    log_level: str = field(default="info", metadata={"parse": one_of("debug", "info", "warning", "error")})
    log_format: str = field(default="text", metadata={"parse": one_of("text", "json")})
    log_heartbeats: bool = field(default=False, metadata={"parse": parse_flag})
    tick_ms: int = field(default=25, metadata={"parse": parse_positive})
    heartbeat_ms: int = field(default=75, metadata={"parse": parse_positive})
    election_timeout_ms: int = field(default=300, metadata={"parse": parse_positive})
    """The shortest; each timeout is drawn between this and twice this."""
    request_timeout_ms: int = field(default=5000, metadata={"parse": parse_positive})
    """A request that no majority confirmed in this time is answered `outcome_unknown` or `no_quorum`."""
    value_bytes_max: int = field(default=1 << 20, metadata={"parse": parse_positive})
    transaction_bytes_max: int = field(default=4 << 20, metadata={"parse": parse_positive})
    checkpoint_entries: int = field(default=100_000, metadata={"parse": parse_positive})
    """Entries applied since the last checkpoint that make the next one due; a restart replays about so many."""
    checkpoint_bytes: int = field(default=64 << 20, metadata={"parse": parse_positive})
    """Memory of the changes since the last checkpoint that makes the next one due."""
    log_tail_bytes: int = field(default=16 << 20, metadata={"parse": parse_positive})
    """Bytes of log kept before a checkpoint, so that a follower that lags a little needs no snapshot."""
    memory_bytes_max: int = field(default=MEMORY_BYTES_MAX, metadata={"parse": parse_positive})
    """Memory for data that clients and peers make grow: requests, answers, changes that are not yet durable."""
    history_bytes_max: int = field(default=HISTORY_BYTES_MAX, metadata={"parse": parse_positive})
    """Memory for the changes that were applied lately, for those who follow them or look back."""
    history_seconds_max: int = field(default=HISTORY_SECONDS_MAX, metadata={"parse": parse_positive})
    """How old they become at most, by the cluster's clock."""
    fault_injection: bool = field(default=False, metadata={"parse": parse_flag})
    """Whether this node may be told to make its links worse than they are: for lessons and tests."""
    network: Conditions = field(default=NO_CONDITIONS, metadata={"parse": parse_network})
    """What it makes of them from the start on."""
    network_seed: int | None = field(default=None, metadata={"parse": parse_positive})
    """From which is drawn what happens to each message. None: another one at each start."""
    disk_reserve_bytes: int | None = field(default=None, metadata={"parse": parse_positive})
    """Free space of the disk below which growing writes are refused. None: a share of the disk."""

    @property
    def first_members(self) -> dict[str, Endpoint]:
        """Id and address of each member that a new cluster starts with."""
        return self.peers if self.peers is not None else {self.id: self.advertised}

    @property
    def advertised(self) -> Endpoint:
        """Where others reach this node."""
        address = self.advertise or self.listen
        return address.over_tls() if self.tls == REQUIRED else address

    @property
    def listens(self) -> dict[str, Endpoint]:
        """The address of each listener, by what it is for."""
        addresses = {"http": self.listen, "redis": self.redis, "redis_cluster": self.redis_cluster}
        return {name: address for name, address in addresses.items() if address is not None}

    @property
    def redis_doors(self) -> int:
        """How many listeners are for Redis clients."""
        return len(self.listens) - 1

    @property
    def advertised_redis(self) -> RedisAddresses:
        """Where others reach `redis` and `redis_cluster`: where that is all addresses, at the host of `advertised`."""
        return RedisAddresses(self._reached(self.redis), self._reached(self.redis_cluster))

    def _reached(self, address: Endpoint | None) -> Endpoint | None:
        if address is not None and address.is_unspecified:
            return Endpoint(self.advertised.host, address.port)
        return address


PARSERS: dict[str, Callable[[object], Any]] = {item.name: item.metadata["parse"] for item in fields(Settings)}
SECRETS = frozenset(item.name for item in fields(Settings) if "is_secret" in item.metadata)
"""Settings whose values no message repeats."""


def load(flags: Mapping[str, object]) -> Settings:
    """Settings from all sources. `flags` may name a `config` file; flags that are None were not given.

    Raises BadSetting.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    values: dict[str, Any] = {}
    config = given.pop("config", None) or os.environ.get(CONFIG_FILE)
    if config:
        values |= _read_file(Path(str(config)))
    values |= _parse_all(settings_in(os.environ), "in the environment")
    values |= _parse_all(given, "on the command line")
    settings = _with_own_address(Settings(**values))
    if settings.tls == REQUIRED:
        settings = _all_over_tls(settings)
    _check(settings)
    _check_tls(settings)
    return replace(settings, data=_absolute(settings.data))


def check_advertised(settings: Settings) -> None:
    """Raise BadSetting if the others could not be told where this node is reached."""
    endpoint = settings.advertised
    if endpoint.is_unspecified:
        raise BadSetting(
            f"{endpoint} is no address at which others could reach this node",
            hint=f"say with --advertise HOST:{endpoint.port} which one is",
        )


def _with_own_address(settings: Settings) -> Settings:
    """`settings` with `advertise` as this node's address among the peers, if those only say that it listens
    everywhere."""
    peers = settings.peers or {}
    own = peers.get(settings.id)
    if own is not None and settings.advertise is not None and own.is_unspecified:
        told = {**peers, settings.id: settings.advertise}
        if len(set(told.values())) != len(told):
            raise BadSetting(f"two members have the same address, {settings.advertise}, which is advertised")
        return replace(settings, peers=told)
    return settings


def _all_over_tls(settings: Settings) -> Settings:
    """`settings` in which every node of the cluster is reached by TLS, as it is where that is required."""

    def changed(members: Mapping[str, Endpoint] | None) -> dict[str, Endpoint] | None:
        return None if members is None else {name: address.over_tls() for name, address in members.items()}

    join = settings.join
    return replace(
        settings,
        advertise=None if settings.advertise is None else settings.advertise.over_tls(),
        peers=changed(settings.peers),
        members=changed(settings.members),
        join=None if join is None else tuple(address.over_tls() for address in join),
    )


def check_reachable(members: Mapping[str, Endpoint]) -> None:
    """Raise BadSetting if these members, by id, could not dial each other."""
    for name, address in sorted(members.items()):
        try:
            reachable(address)
        except BadAddress as error:
            raise BadSetting(f"{address} cannot be the address of {name}: {error}", hint=error.hint) from None


def _absolute(data: Path) -> Path:
    """The folder's whole path: every message names it, and 'data' says nothing of which one that is."""
    try:
        return data.absolute()
    except OSError as error:
        raise BadSetting(
            f"the data folder {data} is in a working directory that is gone",
            hint="name its whole path with --data",
        ) from error


def parse_settings(content: bytes, where: str) -> dict[str, Any]:
    """The settings in a file of TOML, by name, each read but not compared with others. `where` is its name. Raises
    BadSetting."""
    try:
        found = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        # Beside its own errors the library lets those of numbers with too many digits through.
        raise BadSetting(f"the configuration {where} is not TOML: {error}") from error
    return _parse_all(found, f"in {where}")


def _read_file(path: Path) -> dict[str, Any]:
    """The settings in a file. Raises BadSetting, also if there is a secret among them and others may read the file."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            values = parse_settings(file.read(), str(path))
    except OSError as error:
        raise BadSetting(
            f"cannot read the configuration {path}: {(error.strerror or str(error)).lower()}"
        ) from error
    secret = min(SECRETS & values.keys(), default=None)
    if secret is not None and not is_private(found):
        raise BadSetting(
            f"{path} has the secret {secret}, and others may read or change it, mode {mode_of(found)}",
            hint=f"chmod 600 {path}",
        )
    return values


def _parse_all(values: Mapping[str, object], where: str) -> dict[str, Any]:
    parsed = {}
    for name, value in values.items():
        parse = PARSERS.get(name)
        if parse is None:
            raise BadSetting(
                f"unknown setting {name!r} {where}", hint=f"the settings are: {', '.join(PARSERS)}"
            )
        try:
            parsed[name] = parse(value)
        except ValueError as error:
            hint = error.hint if isinstance(error, BadAddress | BadConditions) else None
            shown = "what it is" if name in SECRETS else repr(value)
            raise BadSetting(f"setting {name!r} {where} cannot be {shown}: {error}", hint=hint) from error
    return parsed


def _check(settings: Settings) -> None:
    """The checks that need all settings."""
    if settings.peers is not None and settings.id not in settings.peers:
        raise BadSetting(
            f"the peers {', '.join(settings.peers)} do not name this node, {settings.id}",
            hint="--peers names every member, this one included",
        )
    has_users = settings.admin_password is not None or settings.admin_password_file is not None
    if settings.dashboard == "write" and settings.dashboard_token is None and not has_users:
        raise BadSetting(
            "pages may act only with a token, and there is none",
            hint="set RAFTDB_DASHBOARD_TOKEN, the same at all nodes, or an admin_password, or dashboard to read",
        )
    if settings.cluster_secret is not None and settings.cluster_secret_file is not None:
        raise BadSetting("cluster_secret and cluster_secret_file exclude each other")
    if settings.admin_password is not None and settings.admin_password_file is not None:
        raise BadSetting("admin_password and admin_password_file exclude each other")
    if settings.admin_reset and not has_users:
        raise BadSetting(
            "admin_reset needs the password that admin is to have", hint="set admin_password_file"
        )
    if settings.network and not settings.fault_injection:
        raise BadSetting(
            "network is set, which makes the links of this node worse, and fault_injection is not",
            hint="set fault_injection, too, if that is what you want",
        )
    check_reachable(settings.peers or {})
    check_reachable(settings.members or {})
    if settings.peers is not None and settings.join is not None:
        raise BadSetting(
            "peers and join exclude each other",
            hint="--peers begins a cluster, --join adds a node to one that runs",
        )
    if settings.join is not None:
        check_advertised(settings)
    said = (settings.members or {}).get(settings.id)
    if None not in (said, settings.advertise) and said != settings.advertise:
        raise BadSetting(f"members says that {settings.id} is at {said}, and advertise {settings.advertise}")
    if not settings.tick_ms <= settings.heartbeat_ms < settings.election_timeout_ms:
        raise BadSetting("the times must be tick_ms <= heartbeat_ms < election_timeout_ms")
    for name, ceiling in (
        ("value_bytes_max", VALUE_BYTES_CEILING),
        ("transaction_bytes_max", COMMAND_BYTES_CEILING),
    ):
        if getattr(settings, name) > ceiling:
            raise BadSetting(f"{name} can be {ceiling} at the most")
    if settings.value_bytes_max + BESIDE_VALUE_BYTES > settings.transaction_bytes_max:
        raise BadSetting(
            f"transaction_bytes_max, {settings.transaction_bytes_max}, does not hold the longest value and its key",
            hint=f"it must be {settings.value_bytes_max + BESIDE_VALUE_BYTES} or more, or value_bytes_max less",
        )
    if settings.memory_bytes_max < MEMORY_BYTES_MIN:
        raise BadSetting(f"memory_bytes_max must be at least {MEMORY_BYTES_MIN}")
    if settings.election_timeout_ms < 2 * settings.tick_ms:
        raise BadSetting("election_timeout_ms must be at least two ticks")


def _check_tls(settings: Settings) -> None:
    """The checks of what belongs to TLS."""
    given = [name for name in ("tls_cert", "tls_key", "tls_ca", "tls_client_ca") if getattr(settings, name)]
    if settings.tls == OFF and given:
        raise BadSetting(f"{given[0]} is set, and tls is off", hint="set tls to both or to required")
    if settings.tls != OFF and not {"tls_cert", "tls_key"}.issubset(given):
        raise BadSetting("tls needs tls_cert and tls_key", hint="'raftdb cert node' makes both")
    if settings.tls_client_ca is not None and settings.tls_ca is None:
        hint = "without it peers could not show who they are, and clients could"
        raise BadSetting("tls_client_ca needs tls_ca", hint=hint)
    if settings.tls_peer_names is not None and settings.tls_ca is None:
        raise BadSetting("tls_peer_names says who peers are by their certificates, and there is no tls_ca")
    if any(address.is_tls for address in settings.listens.values()):
        raise BadSetting("what a node listens on is HOST:PORT", hint="tls = required makes it one of TLS")
    if settings.advertised.is_tls and settings.tls == OFF:
        raise BadSetting(f"{settings.advertised} is advertised, and tls is off")
