"""What a program on a console has around it; everything else in `cli` stands on this.

* `render` turns values and tables into text, and `output` writes them in the form that was asked for.
* `failures` turns errors into messages and exit codes.
* `paths` turns the names of files, as they were typed, into paths.
* `asking` and `stop_signals` deal with the person at the terminal: what is asked, and what ends the program.
"""
