"""Secrets of tokens: 256 random bits, which need no slow digest, because nobody can try them all."""

import hashlib
import secrets

SECRET_PREFIX = "raftdb_"
"""What a secret begins with, so that one that was published by accident can be found."""
SECRET_BYTES = 32
SECRET_TEXT_BYTES_MAX = 128


def make_secret() -> str:
    """Return a new secret."""
    return SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest_secret(secret: bytes) -> bytes:
    """Return what a token is stored by."""
    return hashlib.sha256(secret).digest()
