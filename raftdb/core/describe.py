"""Traces as English: for logs, and for the simulator's story."""

from raftdb.core.update import Trace


def describe_trace(trace: Trace) -> str:
    """One trace line: the event, then `name=value` for each detail that is not None."""
    details = "".join(
        f" {name}={describe_value(value)}" for name, value in trace.details if value is not None
    )
    return trace.event + details


def describe_value(value: object) -> str:
    """A detail's value on one line, without anything that a terminal would obey; tuples are joined by commas."""
    if isinstance(value, tuple):
        return ",".join(map(describe_value, value)) or "none"
    text = str(value)
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    return f'"{text}"' if " " in text else text
