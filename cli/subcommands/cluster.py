"""`raftdb cluster`: showing the nodes, the members and the leader, and changing them."""

import click

from cli.admin import members, nodes
from cli.console.failures import EXIT_OK, EXIT_UNAVAILABLE
from cli.console.output import Output
from cli.subcommands.options import Group, Options, client_options

_force = click.option(
    "--force", is_flag=True, help="Do it even if fewer voters than a majority would be alive."
)


@click.group("cluster", cls=Group)
@client_options
def cluster() -> None:
    """Show or change the cluster.

    Each command has a --help. ID is the name of a node, and URL is the address at which the others reach it: HOST:PORT
    or http://HOST:PORT.
    """


@cluster.command("status")
@client_options
@click.pass_obj
def _status(options: Options) -> int:
    """Show every node's role, term and position.

    The exit code is 3 if no node answers.
    """
    with options.client() as client:
        reports = nodes.survey(client)
    nodes.show_nodes(reports, Output(options.output))
    return EXIT_OK if any(report.status is not None for report in reports) else EXIT_UNAVAILABLE


@cluster.command("live")
@client_options
@click.pass_obj
def _live(options: Options) -> int:
    """Find out whether a node answers at all.

    For health checks: whatever it answers, and whoever asks. It prints nothing. The exit code is 3 if none does.
    """
    with options.client() as client:
        return EXIT_OK if nodes.is_live(client) else EXIT_UNAVAILABLE


@cluster.command("members")
@client_options
@click.pass_obj
def _members(options: Options) -> int:
    """Show the members as the leader knows them."""
    with options.client() as client:
        members.show_members(client.membership(), Output(options.output))
    return EXIT_OK


@cluster.command("add")
@click.argument("id")
@click.argument("url")
@click.option("--learner", is_flag=True, help="Let it stay a learner.")
@_force
@client_options
@click.pass_obj
def _add(options: Options, id: str, url: str, learner: bool, force: bool) -> int:
    """Add a node: a learner first, a voter once it has caught up.

    ID must never have been used in this cluster.
    """
    output = Output(options.output)
    with options.client() as client:
        members.show_change(members.add(client, output, id, url, learner=learner, force=force), output)
    return EXIT_OK


@cluster.command("remove")
@click.argument("id")
@_force
@client_options
@click.pass_obj
def _remove(options: Options, id: str, force: bool) -> int:
    """Remove a member for good."""
    with options.client() as client:
        members.show_change(client.remove_member(id, force=force), Output(options.output))
    return EXIT_OK


@cluster.command("promote")
@click.argument("id")
@_force
@client_options
@click.pass_obj
def _promote(options: Options, id: str, force: bool) -> int:
    """Make a learner a voter."""
    with options.client() as client:
        members.show_change(client.promote_member(id, force=force), Output(options.output))
    return EXIT_OK


@cluster.command("address")
@click.argument("id")
@click.argument("url")
@client_options
@click.pass_obj
def _address(options: Options, id: str, url: str) -> int:
    """Change the address of a member."""
    with options.client() as client:
        members.show_change(client.move_member(id, url), Output(options.output))
    return EXIT_OK


@cluster.command("replace")
@click.argument("old")
@click.argument("new")
@click.argument("url")
@client_options
@click.pass_obj
def _replace(options: Options, old: str, new: str, url: str) -> int:
    """Add a new node, and then remove the old one.

    OLD is the id of the node that is removed, NEW that of the node that is added.
    """
    output = Output(options.output)
    with options.client() as client:
        members.show_change(members.replace(client, output, old, new, url), output)
    return EXIT_OK


@cluster.command("transfer")
@click.argument("id", required=False)
@client_options
@click.pass_obj
def _transfer(options: Options, id: str | None) -> int:
    """Let another node lead.

    Without an ID it is the voter with the most entries.
    """
    with options.client() as client:
        members.show_leader(client.transfer_leadership(id), Output(options.output))
    return EXIT_OK
