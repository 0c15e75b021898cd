"""`raftdb cert`: a CA, and certificates for nodes and clients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.console.failures import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError
from cli.console.output import Output
from cli.subcommands.options import PATH, Group, Options, debug_option, output_option

if TYPE_CHECKING:
    from cli.admin.certificates import Pair

CA_DAYS = 3650
DAYS = 365

_dir_option = click.option(
    "--dir",
    "folder",
    metavar="DIR",
    type=PATH,
    default=Path("certificates"),
    show_default=True,
    help="The folder for the files, with those of the CA.",
)


def _days_option(default: int) -> Callable[[Callable[..., int]], Callable[..., int]]:
    return click.option(
        "--days",
        metavar="N",
        type=click.IntRange(1, 100_000),
        default=default,
        show_default=True,
        help="How long the certificate is valid.",
    )


@click.group("cert", cls=Group)
def cert() -> None:
    """Make certificates for TLS: a CA, and what it signs.

    This needs the extra 'tls': pip install 'raftdb[tls]'.
    """


@cert.command("ca")
@click.option("--name", metavar="NAME", default="raftdb CA", show_default=True, help="The CA's name.")
@_days_option(CA_DAYS)
@_dir_option
@output_option
@debug_option
@click.pass_obj
def make_ca(options: Options, /, name: str, days: int, folder: Path) -> int:
    """Make a CA: ca.crt, for all nodes and clients, and ca.key, which only who signs needs.

    Keep ca.key off the nodes: whoever has it can make a certificate that names a node.
    """
    with _with_cryptography():
        from cli.admin import certificates
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _failed(f"cannot make {folder}", error) from None
    return _write(options, certificates.make_ca(name, days), folder, "ca")


@cert.command("node")
@click.argument("node_id", metavar="ID")
@click.option("--cluster", "cluster_id", metavar="CLUSTER-ID", help="The id of a cluster that runs.")
@click.option(
    "--peers",
    metavar="ID=HOST:PORT,...",
    help="The first members of a cluster that is to begin, as for serve.",
)
@click.option(
    "--host",
    "hosts",
    metavar="HOST",
    multiple=True,
    help="A name or address under which clients reach the node; with --peers that of the member is known.",
)
@_days_option(DAYS)
@_dir_option
@output_option
@debug_option
@click.pass_obj
def make_node(
    options: Options,
    /,
    node_id: str,
    cluster_id: str | None,
    peers: str | None,
    hosts: tuple[str, ...],
    days: int,
    folder: Path,
) -> int:
    """Make a node's certificate and key: ID.crt and ID.key.

    It names the node and its cluster, so it proves the node to its peers. 'raftdb cluster status' shows the id of a
    cluster that runs; that of a new one follows from --peers.
    """
    with _with_cryptography():
        from cli.admin import certificates
    if (cluster_id is None) == (peers is None):
        raise CommandError(
            "cert node", "one of --cluster and --peers says which cluster", exit_code=EXIT_USAGE
        )
    if peers is not None:
        from raftdb.server.folder import cluster_id_of
        from raftdb.server.setting_values import parse_peers

        try:
            members = parse_peers(peers)
        except ValueError as error:
            raise CommandError("cert node", f"--peers: {error}", exit_code=EXIT_USAGE) from None
        if node_id not in members:
            raise CommandError("cert node", f"--peers does not name {node_id}", exit_code=EXIT_USAGE)
        cluster_id, hosts = cluster_id_of(members), (members[node_id].host, *hosts)
    named = tuple(dict.fromkeys(hosts))
    pair = certificates.make_node(_ca(folder), node_id, str(cluster_id), named, days)
    return _write(
        options, pair, folder, node_id, {"cluster": str(cluster_id), "hosts": ", ".join(named) or "none"}
    )


@cert.command("client")
@click.argument("name")
@_days_option(DAYS)
@_dir_option
@output_option
@debug_option
@click.pass_obj
def make_client(options: Options, /, name: str, days: int, folder: Path) -> int:
    """Make a client's certificate and key: NAME.crt and NAME.key.

    Nodes ask for one if they have the setting tls_client_ca.
    """
    with _with_cryptography():
        from cli.admin import certificates
    pair = certificates.make_client(_ca(folder), name, days)
    return _write(options, pair, folder, name)


@contextmanager
def _with_cryptography() -> Iterator[None]:
    """Within it the package may be imported. Raises `CommandError` if it is not there."""
    try:
        yield
    except ImportError as error:
        hint = "pip install 'raftdb[tls]'"
        reason = f"making certificates needs a package: {error}"
        raise CommandError("cert", reason, exit_code=EXIT_FAILED, hint=hint) from None


def _ca(folder: Path) -> "Pair":
    from cli.admin.certificates import read_pair

    try:
        return read_pair(folder / "ca.crt", folder / "ca.key")
    except (OSError, ValueError) as error:
        hint = f"raftdb cert ca --dir {folder}"
        raise CommandError(
            "cert", f"there is no CA in {folder}: {_words(error)}", exit_code=EXIT_FAILED, hint=hint
        ) from None


def _write(
    options: Options, pair: "Pair", folder: Path, name: str, said: dict[str, str] | None = None
) -> int:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    try:
        pair.write(certificate, key)
    except OSError as error:
        raise _failed("the certificate is not written", error) from None
    fields = {
        "certificate": str(certificate),
        "key": str(key),
        **(said or {}),
        "valid until": f"{pair.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
    }
    Output(options.output).fields(fields, {name.replace(" ", "_"): value for name, value in fields.items()})
    return EXIT_OK


def _failed(what: str, error: OSError) -> CommandError:
    hint = "move the old files away first" if isinstance(error, FileExistsError) else None
    return CommandError("cert", f"{what}: {_words(error)}", exit_code=EXIT_FAILED, hint=hint)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror.lower()
    return str(error)
