"""The functions of the dot-commands about the network between the nodes: they need nodes with fault injection."""

from collections.abc import Sequence

from cli.admin.network import FaultyNetwork, checked
from cli.admin.network_words import parse_cut, parse_setting, show_network
from cli.run.context import Context
from raftdb.errors import RequestRefused


def network(context: Context, arguments: Sequence[str]) -> None:
    """`.network`: show what is set, or set it."""
    between = _network(context)
    nodes = between.node_ids
    if not arguments:
        show_network(between.report(), nodes, context.output)
        return
    setting = parse_setting(arguments, nodes)
    words = str(checked(setting.words))
    if setting.is_for_clients:
        between.set_clients(words, *setting.clients)
    else:
        between.set(words, *setting.directions)
    what = "nothing is done to messages any more" if words == "none" else words
    context.output.text(f"{setting.said}: {what}")


def cut(context: Context, arguments: Sequence[str]) -> None:
    """`.cut`: let nothing pass between nodes."""
    between = _network(context)
    wanted = parse_cut(arguments, between.node_ids)
    between.cut(*wanted.directions, clients=wanted.clients)
    context.output.text(f"{wanted.said}; .heal ends it")


def heal(context: Context, arguments: Sequence[str]) -> None:
    """`.heal`: end all cuts."""
    between = _network(context)
    between.heal()
    links = between.report().links
    rest = sorted({link.conditions for link in links} - {"none"})
    stays = f"; {' and '.join(rest[:3])} stays, .network none ends it" if rest else ""
    context.output.text(f"all cuts are over{stays}")


def _network(context: Context) -> FaultyNetwork:
    """The network of the nodes of `raftdb up`, or of the members that the first node that answers names."""
    if context.cluster is not None:
        return context.cluster.network
    members = context.client.status().members
    if not members:
        raise RequestRefused("bad_request", "the node knows no members yet")
    nodes, client = {member.id: member.http for member in members}, context.client
    return FaultyNetwork(nodes, tls=client.tls, credentials=client.credentials)
