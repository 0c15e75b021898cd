"""Conditions on keys, by which a transaction branches."""

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias, get_args

from raftdb.client.given import Text, to_bytes, whole
from raftdb.client.json_body import bytes_to_json
from raftdb.errors import RequestRefused

Relation: TypeAlias = Literal["=", "!=", "<", ">"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A condition on one key: whether it `exists`, or how its `revision` (0 for a missing key) or its `value` compares.
    One of the three is given. Values compare byte by byte; that of a missing key only is not equal to any."""

    key: Text
    relation: Relation = "="
    _: KW_ONLY
    exists: bool | None = None
    revision: int | None = None
    value: Text | None = None


def comparisons_to_json(comparisons: Iterable[Comparison]) -> list[dict[str, object]]:
    """The conditions as a request has them. Raises `RequestRefused` for one that does not say one thing, and
    `TypeError` for what is none."""
    return [_to_json(comparison) for comparison in comparisons]


def _to_json(comparison: Comparison) -> dict[str, object]:
    if not isinstance(comparison, Comparison):
        raise TypeError(f"a condition is a Comparison, not {type(comparison).__name__}")
    exists, revision, value = comparison.exists, comparison.revision, comparison.value
    if sum(each is not None for each in (exists, revision, value)) != 1:
        raise RequestRefused("bad_request", "a condition says one of exists, revision and value")
    if comparison.relation not in get_args(Relation) or (exists is not None and comparison.relation != "="):
        raise RequestRefused(
            "bad_request", "the relation of a condition is =, !=, < or >, and = where it says exists"
        )
    named: dict[str, object] = {
        "key": bytes_to_json(to_bytes(comparison.key)),
        "relation": comparison.relation,
    }
    if exists is not None:
        return {**named, "exists": bool(exists)}
    if revision is not None:
        return {**named, "revision": whole(revision, "a revision")}
    return {**named, "value": bytes_to_json(to_bytes(value))}  # type: ignore[arg-type]  # it is the one that is given
