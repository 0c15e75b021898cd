"""The version of Redis that is imitated."""

REDIS_VERSION = "7.0.15"
"""The release of Redis whose replies and error texts are given. Clients ask for it to find out which commands they may
use."""
