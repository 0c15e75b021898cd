"""A question to the person at the terminal, of a program that has no prompt of its own."""

import sys


def is_agreed(question: str) -> bool:
    """Whether the answer is yes. Anything else is no, an end of the input (Ctrl-D) as well.

    The question goes to stderr: results may go elsewhere.
    """
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        answer = sys.stdin.readline()
    except (OSError, UnicodeError):  # the terminal has gone, or sends what is no text
        answer = ""
    if not answer.endswith("\n"):
        print(file=sys.stderr)  # after the question, where Ctrl-D was typed
    return answer.strip().lower() in ("y", "yes")
