"""Entries in a few words, as one would write them in the shell."""

from raftdb.core.model import Entry
from raftdb.node.describe import describe_entries

WORDS_MAX = 40
"""Characters of an entry's words."""


def entry_words(entry: Entry) -> str:
    """The words of an entry, at most `WORDS_MAX` characters."""
    (described,) = describe_entries([entry])
    if described["kind"] == "noop":
        return "the term begins"
    if described["kind"] == "configuration":
        return "members " + " ".join(member["id"] for member in described["members"])
    arguments = (
        part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)
        for part in described["args"]
    )
    words = " ".join((described["command"], *arguments))
    return words if len(words) <= WORDS_MAX else words[: WORDS_MAX - 1] + "…"
