"""`suggest` for prompt_toolkit: the menu of completions and the grey hint behind the cursor."""

from collections.abc import Callable, Iterable, Sequence

from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text.utils import fragment_list_len
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
        for suggestion in suggest(document.text, cursor, nodes=self._nodes(), local=self._local):
            yield Completion(
                suggestion.text,
                start_position=suggestion.start - cursor,
                display_meta=suggestion.description,
            )


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
