"""The language of lines at the prompt, in scripts, and after `raftdb`. Pure.

* `lexer` splits a line into words, and `syntax` reads the syntax of a command.
* `words` and `dot_words` are the tables of the shell's own commands, and `vocabulary` is that of all commands.
* `help_text` makes their help, and `numbers` parses counts and seconds.
* `suggest` makes completions and hints, and `highlight` colours.
* `blocks` finds lines that go on, and `private_lines` lines that the history must not keep.

Nothing here uses a cluster or a terminal, so that completion and colours are tested as functions of a text.
"""
