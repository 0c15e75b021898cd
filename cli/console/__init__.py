"""Output, errors, paths and signals of a program on a console. Everything else in `cli` uses this.

* `render` turns values and tables into text, and `output` writes them in the chosen form.
* `failures` turns errors into messages and exit codes.
* `paths` turns typed names of files into paths.
* `asking` asks the person at the terminal a question, and `stop_signals` ends the program by signals.
"""
