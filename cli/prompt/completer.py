"""`suggest` and `highlight` for prompt_toolkit: the menu of completions, the grey hint after the cursor, and
colours."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import fragment_list_len, fragment_list_width
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.lexers import Lexer

from cli.console.render import fit
from cli.line.highlight import spans
from cli.line.lexer import BLANKS
from cli.line.suggest import Kind, Wanted, argument_hint, suggest, wanted
from cli.prompt.finder import Finder


class ShellCompleter(Completer):
    """Offers names of commands and options, and nodes, keys, queues, locks and paths where they fit.

    `nodes` is called at each completion; `finder` looks up all but nodes, which takes time.
    """

    def __init__(self, *, nodes: Callable[[], Sequence[str]], finder: Finder, local: bool) -> None:
        self._nodes = nodes
        self._finder = finder
        self._local = local

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """The completions that are known at once, each with its description."""
        missing = self._wanted(document)
        found = () if missing is None else self._finder.remembered(missing) or ()
        return self._completions(document, missing, found)

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """All completions, after a moment in which keys or paths are looked up."""
        missing = self._wanted(document)
        found = () if missing is None else await self._finder.find(missing)
        for completion in self._completions(document, missing, found):
            yield completion

    def is_at_hand(self, document: Document) -> bool:
        """Whether `get_completions` knows all completions."""
        missing = self._wanted(document)
        return missing is None or self._finder.remembered(missing) is not None

    async def look_up(self, document: Document) -> None:
        """Look up keys or paths that are not known, for at most `FIND_MS_MAX`."""
        missing = self._wanted(document)
        if missing is not None:
            await self._finder.find(missing)

    def _wanted(self, document: Document) -> Wanted | None:
        missing = wanted(document.text, document.cursor_position)
        return None if missing is None or missing.kind is Kind.NODE else missing

    def _completions(
        self, document: Document, missing: Wanted | None, found: Sequence[bytes]
    ) -> Iterator[Completion]:
        cursor = document.cursor_position
        is_before_space = document.text.startswith((*BLANKS, "\n"), cursor)
        things = {None if missing is None else missing.kind: found}
        suggestions = suggest(
            document.text,
            cursor,
            things.get(Kind.KEY, ()),
            names=things.get(Kind.QUEUE, ()) or things.get(Kind.LOCK, ()),
            nodes=self._nodes(),
            paths=things.get(Kind.PATH, ()),
            local=self._local,
        )
        for suggestion in suggestions:
            # The space is part of it, so that the next word is not glued to this one.
            space = " " if suggestion.goes_on and not is_before_space else ""
            yield Completion(
                suggestion.text + space,
                start_position=suggestion.start - cursor,
                display=suggestion.text,
                display_meta=suggestion.description,
            )


class HintProcessor(Processor):
    """Shows the rest of a command's syntax in grey, as far as it fits on the line. If there is a suggestion from an
    earlier line, that is shown instead. Unlike it, the syntax cannot be accepted by a key.

    `prompt_columns` returns the columns that the prompt takes.
    """

    def __init__(self, prompt_columns: Callable[[], int]) -> None:
        self._prompt_columns = prompt_columns

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Put the hint after the last line of the input."""
        document = transformation_input.document
        fragments = transformation_input.fragments
        is_last = transformation_input.lineno == document.line_count - 1
        # A line that was entered stays on the screen without the hint.
        if not is_last or not fragment_list_len(fragments) or get_app().is_done:
            return Transformation(fragments)
        suggestion = transformation_input.buffer_control.buffer.suggestion
        if suggestion is not None and suggestion.text:
            return Transformation(fragments)
        hint = argument_hint(document.text, document.cursor_position)
        taken = (self._prompt_columns() + fragment_list_width(fragments)) % max(transformation_input.width, 1)
        # One column is left for the cursor.
        return Transformation([*fragments, ("class:hint", fit(hint, transformation_input.width - taken - 1))])


class ShellLexer(Lexer):
    """The colours of the text that is being typed."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """A function from the number of a line to its styled pieces."""
        text = document.text
        by_line: list[StyleAndTextTuples] = []
        found = spans(text)
        start = 0
        for line in document.lines:
            end = start + len(line)
            pieces: StyleAndTextTuples = []
            position = start
            for span in found:
                if start <= span.start and span.end <= end:
                    pieces += [
                        ("", text[position : span.start]),
                        (f"class:line.{span.style}", text[span.start : span.end]),
                    ]
                    position = span.end
            pieces.append(("", text[position:end]))
            by_line.append(pieces)
            start = end + 1
        return lambda number: by_line[number] if number < len(by_line) else []
