"""Blocks: several lines of one transaction. Pure."""

from cli.line.lexer import BLANKS, scan

_OPENS = frozenset({"begin", "multi"})
_CLOSES = frozenset({"commit", "rollback", "exec", "discard"})


def goes_on(text: str) -> bool:
    """Whether Enter at the end of `text` begins another line instead of running the text.

    It does in a text of several lines that opens a transaction and does not end it. After an empty line at its end the
    text is run, and the transaction stays open.
    """
    lines = text.split("\n")
    if len(lines) < 2 or not lines[-1].strip(BLANKS):
        return False
    is_open = False
    for words in scan(text).commands:
        if words:
            name = words[0].text.lower()
            is_open = name in _OPENS or (is_open and name not in _CLOSES)
    return is_open
