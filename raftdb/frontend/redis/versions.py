"""Whose commands these are."""

REDIS_VERSION = "7.0.15"
"""The release of Redis whose replies and texts of errors are given, which clients ask to find out what they may use."""
