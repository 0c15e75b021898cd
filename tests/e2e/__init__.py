"""Real processes, judged from outside.

Every test here starts nodes with `python -m raftdb serve`, speaks to them over HTTP and the command line only, and
harms them with signals, files and limits. Nothing of the product is imported: `raw_http.py` is a client of its own,
so that a mistake shared by server and client does not go unseen.

Tests wait for conditions (`waiting.py`), with limits far above what is normal: a slow machine makes them slow, not red.
"""
