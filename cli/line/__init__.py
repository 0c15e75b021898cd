"""The language of the line: what can be typed at the prompt, in a script, or after `raftdb`. Pure.

* `lexer` makes words of a line, and `syntax` says what may follow what.
* `words` and `dot_words` are the tables of the shell's own commands, and `vocabulary` is all that can be typed.
* `help_text` tells people about them, and `numbers` reads counts and seconds.
* `suggest` completes and hints, and `highlight` colours.
* `blocks` finds a line that goes on in the next one, and `private_lines` one that no history may keep.

Nothing here knows a cluster or a terminal, so that completion and colours are tested as functions of a text.
"""
