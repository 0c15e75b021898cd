"""Settings in the environment, and the variables that orchestrators put beside them.

A variable `RAFTDB_<NAME>` is the setting of that name; one that is no setting is refused, for it is a typo. But
Kubernetes and Docker name variables after services and links, and a service called `raftdb` has our prefix:
`RAFTDB_PORT=tcp://10.0.0.1:8001`, `RAFTDB_SERVICE_HOST`. The operator did not write those, and cannot always turn them
off, so they are ignored. An empty variable counts as one that is not set, because templates leave one out in that way.
"""

import re
from collections.abc import Mapping

PREFIX = "RAFTDB_"
CONFIG_FILE = f"{PREFIX}CONFIG"
OF_CLIENTS = frozenset(
    {
        "RAFTDB_URL",
        "RAFTDB_HISTORY",
        "RAFTDB_CONNECT_CA",
        "RAFTDB_CONNECT_CERT",
        "RAFTDB_CONNECT_KEY",
        "RAFTDB_TOKEN",
        "RAFTDB_TOKEN_FILE",
        "RAFTDB_USER",
        "RAFTDB_PASSWORD",
        "RAFTDB_PASSWORD_FILE",
        "RAFTDB_NEW_PASSWORD",
    }
)
"""Names with our prefix that are no settings of a node."""

_BY_NAME = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?|ENV_\w+)"
)
_BY_VALUE = re.compile(rf"{PREFIX}(\w+_)?PORT=(tcp|udp|sctp)://.*|{PREFIX}(\w+_)?NAME=/.*", re.DOTALL)


def is_of_an_orchestrator(name: str, value: str) -> bool:
    """Whether Kubernetes (for a service) or Docker (for a link) sets such a variable."""
    return _BY_NAME.fullmatch(name) is not None or _BY_VALUE.fullmatch(f"{name}={value}") is not None


def settings_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that are in the environment, by their names in lower case, sorted; known or not."""
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in sorted(environment.items())
        if _is_ours(name, value) and not is_of_an_orchestrator(name, value)
    }


def passed_over(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the variables that look like settings and are those of an orchestrator, sorted."""
    return tuple(
        name
        for name, value in sorted(environment.items())
        if _is_ours(name, value) and is_of_an_orchestrator(name, value)
    )


def _is_ours(name: str, value: str) -> bool:
    return bool(value) and name.startswith(PREFIX) and name not in OF_CLIENTS and name != CONFIG_FILE
