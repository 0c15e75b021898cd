"""Which values are bound to which session: they end with it.

A value that is bound says so in its header (`keyspace.is_bound`), so that the others cost nothing more. To which
session stands beside it; and under each session stand its values, to be found when it ends, and how many they are. All
of that is about one generation of values (`raftdb.machine.values`): those of an earlier one count for nothing, and are
forgotten with it.

A session is named here by the index of its registration, which no other session has, and a value by its generation and
key, as in the index of expiries.
"""

from raftdb.machine.keyspace import (
    BOUND_KEY_COUNT_PREFIX,
    BOUND_KEY_PREFIX,
    KEY_SESSION_PREFIX,
    pack_number,
    read_number,
)
from raftdb.machine.layer import KeyValueView, Layer


def session_of(view: KeyValueView, name: bytes) -> int:
    """Return the session to which a value is bound, 0 if it is bound to none."""
    return read_number(view.get(KEY_SESSION_PREFIX + name))


def bound_count(view: KeyValueView, session: int, generation: bytes) -> int:
    """Return how many values of a generation are bound to a session."""
    return read_number(view.get(_count_key(session, generation)))


def bound_names(view: KeyValueView, session: int, generation: bytes) -> list[bytes]:
    """Return the names of these values, in order."""
    count = bound_count(view, session, generation)
    first, end = _range(session)
    # Those of later generations come behind them.
    return [key[len(first) :] for key, _ in view.scan(first + generation, end, limit=count)]


def bind(layer: Layer, name: bytes, session: int) -> None:
    """Bind a value to a session; it is bound to none."""
    layer.put(KEY_SESSION_PREFIX + name, pack_number(session))
    layer.put(BOUND_KEY_PREFIX + pack_number(session) + name, b"")
    _count(layer, session, name, 1)


def unbind(layer: Layer, name: bytes) -> None:
    """Let a value that is bound be so no longer."""
    session = session_of(layer, name)
    layer.delete(KEY_SESSION_PREFIX + name)
    layer.delete(BOUND_KEY_PREFIX + pack_number(session) + name)
    _count(layer, session, name, -1)


def _count(layer: Layer, session: int, name: bytes, change: int) -> None:
    generation = name[: 1 + name[0]]
    count = bound_count(layer, session, generation) + change
    if count:
        layer.put(_count_key(session, generation), pack_number(count))
    else:
        layer.delete(_count_key(session, generation))


def _count_key(session: int, generation: bytes) -> bytes:
    return BOUND_KEY_COUNT_PREFIX + pack_number(session) + generation


def _range(session: int) -> tuple[bytes, bytes]:
    """Between which keys all values stand that are bound to a session."""
    return BOUND_KEY_PREFIX + pack_number(session), BOUND_KEY_PREFIX + pack_number(session + 1)
