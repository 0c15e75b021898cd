"""Characters that arrive in one piece are pasted: they become one key press.

A terminal that marks a paste (bracketed paste) hands it over as a whole. Others, and programs that type, send it as if
every character was a key, and each key costs prompt_toolkit about a millisecond: it looks for what the key means, asks
for completions, and so on. Nobody types many characters between two turns of the loop.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

RUN_MIN = 8
"""Fewest characters that are taken as one. Some keys mean something only together, a few at a time."""


MOUSE = frozenset({Keys.Vt100MouseEvent, Keys.WindowsMouseEvent})
"""No mouse is asked for. Text that was copied with its colours looks to prompt_toolkit as if one had been moved, in a
way that it cannot read."""


def joined(keys: Sequence[KeyPress]) -> list[KeyPress]:
    """`keys` with each long run of characters as one key press that inserts them.

    The first of a run stays a key: it may be what the one before waits for (Escape, Ctrl-X). Enter and Tab stay keys,
    too, and do what they do.
    """
    pressed: list[KeyPress] = []
    run: list[KeyPress] = []
    for key in [*keys, None]:
        if key is not None and _is_character(key):
            run.append(key)
            continue
        if len(run) > RUN_MIN:
            text = "".join(character.key for character in run[1:])
            run = [run[0], KeyPress(Keys.BracketedPaste, text)]
        pressed += run
        run = []
        if key is not None:
            pressed.append(key)
    return pressed


def _without_mouse(keys: Sequence[KeyPress]) -> list[KeyPress]:
    return [key for key in keys if key.key not in MOUSE]


def _is_character(key: KeyPress) -> bool:
    return (
        not isinstance(key.key, Keys) and len(key.key) == 1 and key.key == key.data and key.key.isprintable()
    )


class PastingInput(Input):
    """The terminal `input`, with what is pasted as such."""

    def __init__(self, input: Input) -> None:
        self._input = input

    def read_keys(self) -> list[KeyPress]:
        """What was pressed since the last time."""
        return joined(_without_mouse(self._input.read_keys()))

    def flush_keys(self) -> list[KeyPress]:
        """The keys that were held back because they might have begun a longer sequence."""
        return _without_mouse(self._input.flush_keys())

    def fileno(self) -> int:
        """See `Input`, as of all others below."""
        return self._input.fileno()

    def typeahead_hash(self) -> str:
        """The name under which keys are kept that were typed before they were asked for."""
        return self._input.typeahead_hash()

    def flush(self) -> None:
        """Do nothing: no key is held here."""
        self._input.flush()

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._input.closed

    def raw_mode(self) -> AbstractContextManager[None]:
        """Keys as they are pressed."""
        return self._input.raw_mode()

    def cooked_mode(self) -> AbstractContextManager[None]:
        """Lines, as programs without a prompt read them."""
        return self._input.cooked_mode()

    def attach(self, input_ready_callback: Callable[[], None]) -> AbstractContextManager[None]:
        """A context in which the running loop calls back when there is something to read."""
        return self._input.attach(input_ready_callback)

    def detach(self) -> AbstractContextManager[None]:
        """A context in which it does not."""
        return self._input.detach()

    def close(self) -> None:
        """Give the terminal up."""
        self._input.close()
