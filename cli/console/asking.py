"""Asking the person at the terminal a question, in a sub-command without a prompt."""

import sys


def is_agreed(question: str) -> bool:
    """True if the answer is yes. Any other answer is no, and so is the end of the input (Ctrl-D).

    The question goes to stderr, because results may go into a file.
    """
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        answer = sys.stdin.readline()
    except (OSError, UnicodeError):  # the terminal has gone, or sends what is no text
        answer = ""
    if not answer.endswith("\n"):
        print(file=sys.stderr)  # after the question, where Ctrl-D was typed
    return answer.strip().lower() in ("y", "yes")
