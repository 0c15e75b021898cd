"""The key bindings of the prompt that differ from those of prompt_toolkit."""

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.search import accept_search

from cli.line.blocks import goes_on
from cli.prompt.completer import ShellCompleter

TYPING = has_focus(DEFAULT_BUFFER)
"""True at the prompt, but not while the history is being searched."""


def bindings(completer: ShellCompleter) -> KeyBindings:
    """Tab completes. Enter runs the line, also one that was found by a search, or begins the next line of a block;
    Alt-Enter always begins another line."""
    keys = KeyBindings()

    @keys.add("tab", filter=TYPING)
    def _(event: KeyPressEvent) -> None:
        _complete(event, completer)

    @keys.add("enter", filter=TYPING)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end and goes_on(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("enter", filter=is_searching)
    def _(event: KeyPressEvent) -> None:
        accept_search()
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=TYPING)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _complete(event: KeyPressEvent, completer: ShellCompleter) -> None:
    """Complete the word at once if its completions are known, or after they were looked up, unless the text has
    changed.

    prompt_toolkit's own binding does nothing while completions for the letter before are being computed, which shows
    when someone types fast or pastes.
    """
    buffer = event.current_buffer
    menu = buffer.complete_state
    if menu is not None and len(menu.completions) > 1:
        common = get_common_complete_suffix(menu.original_document, menu.completions)
        if menu.complete_index is None and common:
            buffer.insert_text(common)
        else:
            buffer.complete_next()
        return
    document = buffer.document
    if completer.is_at_hand(document):
        _take(buffer, completer)
        return

    async def later() -> None:
        await completer.look_up(document)
        if buffer.document == document:
            _take(buffer, completer)

    event.app.create_background_task(later())


def _take(buffer: Buffer, completer: ShellCompleter) -> None:
    """Insert the only completion, or what all have in common, or show the menu."""
    completions = list(completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
    common = get_common_complete_suffix(buffer.document, completions)
    if len(completions) == 1:
        buffer.apply_completion(completions[0])
    elif common:
        buffer.insert_text(common)
    elif completions:
        buffer.start_completion()
