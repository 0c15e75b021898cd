"""The commands on values that expire, as the model does them (`model`)."""

from typing import TYPE_CHECKING, Any

from raftdb.machine.expiry import ExpireAfter, ExpiryCondition, GetAndExpire, RemoveExpiry, TimeToLive
from raftdb.machine.strings import PAST_TTL
from raftdb.simulation.modelled import Held

if TYPE_CHECKING:
    from raftdb.simulation.model import Model


def expire_after(model: "Model", index: int, command: ExpireAfter) -> Any:
    """Let a value end later, or at once."""
    held = model.find(command.key)
    if held is None or not _may_end(model, held.ends_ms, command):
        return 0
    if command.ttl_ms <= 0:
        del model.values[command.key]
    else:
        model.values[command.key] = Held(held.data, index, model.clock_ms + command.ttl_ms, held.session)
    return 1


def _may_end(model: "Model", ends_ms: int | None, command: ExpireAfter) -> bool:
    new_ms, forever = model.clock_ms + command.ttl_ms, float("inf")
    match command.condition:
        case ExpiryCondition.IF_IT_STAYS | ExpiryCondition.IF_IT_ENDS as condition:
            return (ends_ms is None) is (condition is ExpiryCondition.IF_IT_STAYS)
        case ExpiryCondition.IF_LATER:
            return new_ms > (forever if ends_ms is None else ends_ms)
        case ExpiryCondition.IF_EARLIER_END:
            return ends_ms is not None and new_ms < ends_ms
        case ExpiryCondition.IF_EARLIER:
            return new_ms < (forever if ends_ms is None else ends_ms)
    return True


def get_and_expire(model: "Model", index: int, command: GetAndExpire) -> Any:
    """The value of a key, which ends at another time from now on."""
    held = model.find(command.key)
    if held is None:
        return None
    ends_ms = model.clock_ms + command.ttl_ms if command.ttl_ms > 0 else None
    if command.ttl_ms == PAST_TTL:
        del model.values[command.key]
    elif ends_ms != held.ends_ms:
        model.values[command.key] = Held(held.data, index, ends_ms, held.session)
    return held.data


def remove_expiry(model: "Model", index: int, command: RemoveExpiry) -> Any:
    """Let a value stay."""
    held = model.find(command.key)
    if held is None or held.ends_ms is None:
        return 0
    model.values[command.key] = Held(held.data, index, session=held.session)
    return 1


def time_to_live(model: "Model", index: int, command: TimeToLive) -> Any:
    """The seconds that a value has left."""
    held = model.find(command.key)
    if held is None:
        return -2
    return -1 if held.ends_ms is None else -(-(held.ends_ms - model.clock_ms) // 1000)
