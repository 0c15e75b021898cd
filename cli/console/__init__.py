"""What a program on a console has around it; everything else in `cli` stands on this.

* `render` turns values and tables into text, and `output` writes them in the form that was asked for.
* `failures` turns errors into messages and exit codes.
* `options` holds what was asked for on the command line, and `paths` the files that were named.
* `asking` and `stop_signals` deal with the person at the terminal: what is asked, and what ends the program.
"""
