"""The tests. A package, so that `tests.tidy` and the like are ours and never a stray `tests` of site-packages."""
