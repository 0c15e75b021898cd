"""`suggest` for prompt_toolkit: the menu of completions and the grey hint behind the cursor."""

from collections.abc import Callable, Iterable, Sequence

from prompt_toolkit.application import get_app
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    get_common_complete_suffix,
)
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text.utils import fragment_list_len
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from cli.suggest import argument_hint, suggest


class ShellCompleter(Completer):
    """Offers names of commands, and of nodes where a node belongs. `nodes` is asked at each completion."""

    def __init__(self, *, nodes: Callable[[], Sequence[str]], local: bool) -> None:
        self._nodes = nodes
        self._local = local

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """The suggestions at the cursor, each with its description beside it."""
        cursor = document.cursor_position
        is_before_space = document.text[cursor : cursor + 1].isspace()
        for suggestion in suggest(document.text, cursor, nodes=self._nodes(), local=self._local):
            # With its space, so that what is typed next is not glued to the name.
            space = " " if suggestion.goes_on and not is_before_space else ""
            yield Completion(
                suggestion.text + space,
                start_position=suggestion.start - cursor,
                display=suggestion.text,
                display_meta=suggestion.description,
            )


def tab_bindings(completer: Completer) -> KeyBindings:
    """What Tab does at the prompt: take the only completion, or as much as all have in common, or go through
    the menu.

    prompt_toolkit's own binding does nothing while completions for the letter before are still on their way,
    which a quick typist, and whoever pastes, would notice.
    """
    bindings = KeyBindings()

    @bindings.add("tab", filter=has_focus(DEFAULT_BUFFER))
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and len(buffer.complete_state.completions) > 1:
            buffer.complete_next()
            return
        requested = CompleteEvent(completion_requested=True)
        completions = list(completer.get_completions(buffer.document, requested))
        common = get_common_complete_suffix(buffer.document, completions)
        if len(completions) == 1:
            buffer.apply_completion(completions[0])
        elif common:
            buffer.insert_text(common)
        elif completions:
            buffer.start_completion()

    return bindings


class HintProcessor(Processor):
    """Shows the arguments that are still missing, in grey. Unlike a suggestion it can never be accepted by a
    key."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Put the hint behind the last line of the input."""
        document = transformation_input.document
        fragments = transformation_input.fragments
        is_last = transformation_input.lineno == document.line_count - 1
        # A line that was entered stays on the screen: without what was never typed.
        if not is_last or not fragment_list_len(fragments) or get_app().is_done:
            return Transformation(fragments)
        hint = argument_hint(document.text, document.cursor_position)
        return Transformation([*fragments, ("class:hint", hint)])
