"""Real processes, judged from outside.

Every test here starts nodes, speaks to them over HTTP and the command line only, and harms them with signals, files
and limits. Nothing of the product is imported: `raw_http.py` is a client of its own, so that a mistake shared by server
and client does not go unseen.

Most nodes start as copies of a process that has loaded what `python -m raftdb serve` loads (`forked.py`), which takes a
tenth of the time. Tests of starts, ends, files and settings have the mark `as_programs`: their nodes are programs.

Tests wait for conditions (`waiting.py`), with limits far above what is normal: a slow machine makes them slow, not red.
"""
