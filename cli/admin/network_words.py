"""What people type about the network between nodes, and what they are told of it. Pure, but for `show_network`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cli.admin.network import Direction, NetworkReport, alone, apart, both_ways
from cli.console.output import Output
from raftdb.errors import RequestRefused

CLIENTS = "clients"
"""The word for a node's clients, in the place of another node."""
CUT_FORMS = ".cut n1   .cut n1 n2   .cut n1,n2 | n3   .cut n1 > n2   .cut n1 clients"

_SPACE_AROUND = re.compile(r"\s*([,|>])\s*")


@dataclass(frozen=True, slots=True)
class Cut:
    """What is to be cut: these directions, and of these nodes the clients. `said` is the same for people."""

    directions: Sequence[Direction]
    clients: Sequence[str]
    said: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Where conditions are to be set: in these directions (none: everywhere), or for the clients of these nodes (none:
    of all), if `is_for_clients`. `words` are the conditions, and `said` is where, for people."""

    words: str
    directions: Sequence[Direction]
    said: str
    clients: Sequence[str] = ()
    is_for_clients: bool = False


def parse_cut(words: Sequence[str], nodes: Sequence[str]) -> Cut:
    """What `.cut WORDS` cuts, of these nodes. Raises `RequestRefused`."""
    text = _SPACE_AROUND.sub(r"\1", " ".join(words))
    if "|" in text and ">" in text:
        raise _no_cut("a cut is between groups, or one way, not both")
    if "|" in text:
        groups = _groups(text.split("|"), nodes)
        said = " | ".join(map(_named, groups))
        return Cut(apart(groups), (), f"cut: {said}; nothing passes between these groups")
    if ">" in text:
        sides = _groups(text.split(">"), nodes)
        if len(sides) != 2:
            raise _no_cut("one way is from one side to the other")
        (sources, targets) = sides
        pairs = [(source, target) for source in sources for target in targets]
        return Cut(
            pairs,
            (),
            f"cut: nothing passes from {_named(sources)} to {_named(targets)}; the other way is as before",
        )
    names = text.split(" ")
    if len(names) == 1:
        (group,) = _groups(names, nodes)
        others = [node for node in nodes if node not in group]
        said = f"cut: {_named(group)} from {_named(others) or 'nobody'}; clients are reached as before"
        return Cut(apart([group, others]), (), said)
    if len(names) > 2:
        raise _no_cut("three nodes are no link")
    one, other = names
    if CLIENTS in names:
        ((node,),) = _groups([one if other == CLIENTS else other], nodes)
        others = [each for each in nodes if each != node]
        said = f"cut: {node} from {_named(others) or 'nobody'}, and from its clients"
        return Cut(alone(node, nodes), (node,), said)
    ((one,), (other,)) = _pair(names, nodes)
    return Cut(both_ways(one, other), (), f"cut: {one} and {other}, both ways")


def parse_setting(words: Sequence[str], nodes: Sequence[str]) -> Setting:
    """Where `.network WORDS` sets conditions, and which. Raises `RequestRefused`."""
    if words[0] == CLIENTS:
        return Setting(" ".join(words[1:]), (), "between all nodes and their clients", is_for_clients=True)
    if not _is_node(words, 0, nodes):
        return Setting(" ".join(words), (), "on all links")
    source, *rest = words
    if rest[:1] == [">"]:
        rest = rest[1:]
        is_one_way = True
    else:
        is_one_way = False
    if rest[:1] == [CLIENTS] and not is_one_way:
        said = f"between {source} and its clients"
        return Setting(" ".join(rest[1:]), (), said, (source,), is_for_clients=True)
    if not _is_node(rest, 0, nodes) or rest[0] == source:
        hint = f".network {source} {next((node for node in nodes if node != source), 'n2')} delay 100ms"
        raise RequestRefused("bad_request", "a link is between two nodes", hint=f"for example: {hint}")
    target, *conditions = rest
    if is_one_way:
        return Setting(" ".join(conditions), ((source, target),), f"from {source} to {target}")
    return Setting(" ".join(conditions), both_ways(source, target), f"between {source} and {target}")


def show_network(report: NetworkReport, nodes: Sequence[str], output: Output) -> None:
    """Show a row for each direction: its conditions, and what came of the messages in it."""
    headers = ("from", "to", "network", "passed", "delayed", "lost", "twice", "corrupt", "early", "cut off")
    rows = []
    order = {node: place for place, node in enumerate([*nodes, CLIENTS])}
    for link in sorted(report.links, key=lambda link: (order[link.source], order[link.target])):
        counts = link.counts
        if link.target == CLIENTS and not link.is_cut and link.conditions == "none":
            continue
        lost = counts["lost"] + counts["overflowed"]
        figures = (counts["passed"], counts["delayed"], lost, counts["duplicated"], counts["corrupted"])
        shown = [*figures, counts["reordered"], counts["cut"]]
        state = "cut" if link.is_cut else link.conditions
        rows.append((link.source, link.target, state, *map(str, shown)))
    for node, problem in report.problems.items():
        rows.append((node, "-", problem, *"-------"))
    output.table(
        headers, rows, {"nodes": [dict(body) for body in report.bodies], "problems": dict(report.problems)}
    )


def _is_node(words: Sequence[str], place: int, nodes: Sequence[str]) -> bool:
    return len(words) > place and words[place] in nodes


def _groups(texts: Iterable[str], nodes: Sequence[str]) -> list[list[str]]:
    """The nodes of each side of a cut. Raises `RequestRefused` for one that is not there, or that is named twice."""
    groups = [[name for name in re.split(r"[, ]", text) if name] for text in texts]
    named = [name for group in groups for name in group]
    for name in named:
        if name not in nodes:
            raise RequestRefused(
                "bad_request", f"there is no node {name[:40]!r}", hint=f"the nodes are: {', '.join(nodes)}"
            )
        if named.count(name) > 1:
            raise _no_cut(f"{name} is named twice")
    if not all(groups):
        raise _no_cut("a side has no nodes")
    return groups


def _pair(names: Sequence[str], nodes: Sequence[str]) -> tuple[list[str], list[str]]:
    one, other = _groups(names, nodes)
    if len(one) > 1 or len(other) > 1:
        raise _no_cut("between groups stands a |")
    return one, other


def _no_cut(why: str) -> RequestRefused:
    return RequestRefused("bad_request", why, hint=f"it may be: {CUT_FORMS}")


def _named(nodes: Sequence[str]) -> str:
    """Nodes for people: `n1`, `n1 and n2`, `n1, n2 and n3`."""
    return " and ".join(filter(None, [", ".join(nodes[:-1]), *nodes[-1:]]))
