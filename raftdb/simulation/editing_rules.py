"""The commands on byte strings in part, as the model does them (`model`)."""

from typing import TYPE_CHECKING, Any

from raftdb.machine.editing import Append, GetRange, SetRange

if TYPE_CHECKING:
    from raftdb.simulation.model import Model


def append(model: "Model", index: int, command: Append) -> Any:
    """Put bytes behind a value."""
    model.change(command.key, model.data(command.key) + command.value, index)
    return "OK"


def set_range(model: "Model", index: int, command: SetRange) -> Any:
    """Put bytes over a part of a value."""
    data = model.data(command.key)
    if command.value:
        padding = bytes(max(0, command.offset - len(data)))
        behind = data[command.offset + len(command.value) :]
        data = data[: command.offset] + padding + command.value + behind
        model.change(command.key, data, index)
    return len(data)


def get_range(model: "Model", index: int, command: GetRange) -> Any:
    """A part of a value."""
    data = model.data(command.key)
    places = [end if end >= 0 else max(0, end + len(data)) for end in (command.first, command.last)]
    if command.last < command.first < 0:
        return b""
    return b"".join(data[place : place + 1] for place in range(places[0], min(len(data), places[1] + 1)))
