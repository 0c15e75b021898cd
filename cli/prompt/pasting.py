"""Turning characters that arrive at once, which were pasted, into one key press.

A terminal with bracketed paste marks a pasted text as a whole. Others, and programs that type, send each character as a
key, which takes prompt_toolkit about a millisecond: it looks up its binding, asks for completions, and so on. A person
never types many characters between two turns of the loop.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

RUN_MIN = 8
"""Fewest characters that become one key press. Fewer stay keys, because some short sequences of keys have a binding."""


MOUSE = frozenset({Keys.Vt100MouseEvent, Keys.WindowsMouseEvent})
"""Events that are dropped. The shell does not use a mouse, but text that was copied with its colours looks to
prompt_toolkit like a mouse event that it cannot parse."""


def joined(keys: Sequence[KeyPress]) -> list[KeyPress]:
    """`keys`, in which each long run of characters is one key press that inserts them.

    The first character of a run stays a key, because it may complete the one before (Escape, Ctrl-X). Enter and Tab
    stay keys, too.
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
    """The terminal `input`, with pasted text joined."""

    def __init__(self, input: Input) -> None:
        self._input = input

    def read_keys(self) -> list[KeyPress]:
        """The keys that were pressed since the last call."""
        return joined(_without_mouse(self._input.read_keys()))

    def flush_keys(self) -> list[KeyPress]:
        """The keys that were held back because they might have begun a longer sequence."""
        return _without_mouse(self._input.flush_keys())

    def fileno(self) -> int:
        """See `Input`; so do all methods below."""
        return self._input.fileno()

    def typeahead_hash(self) -> str:
        """The name under which keys are kept that were typed ahead."""
        return self._input.typeahead_hash()

    def flush(self) -> None:
        """Flush the terminal's input."""
        self._input.flush()

    @property
    def closed(self) -> bool:
        """Whether the input has ended."""
        return self._input.closed

    def raw_mode(self) -> AbstractContextManager[None]:
        """A context in which keys come as they are pressed."""
        return self._input.raw_mode()

    def cooked_mode(self) -> AbstractContextManager[None]:
        """A context in which the terminal sends whole lines."""
        return self._input.cooked_mode()

    def attach(self, input_ready_callback: Callable[[], None]) -> AbstractContextManager[None]:
        """A context in which the running loop calls back when there is input."""
        return self._input.attach(input_ready_callback)

    def detach(self) -> AbstractContextManager[None]:
        """A context in which the loop does not call back."""
        return self._input.detach()

    def close(self) -> None:
        """Close the terminal's input."""
        self._input.close()
