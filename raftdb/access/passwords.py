"""Digests of passwords (scrypt, RFC 7914). One takes some 40 ms of a processor and 16 MiB, and releases the interpreter
meanwhile: it runs on a thread.

    version  log2 n  r  p  salt  digest
    1        1       1  1  16    32         bytes
"""

import hashlib
import hmac
import secrets

from raftdb.errors import RequestRefused

PASSWORD_BYTES_MIN = 8
PASSWORD_BYTES_MAX = 1024
VERSION = 1
COST = (14, 8, 1)
"""log2 n, r and p of new digests. A digest bears its own, so that these may grow."""
SALT_BYTES = 16
DIGEST_BYTES = 32
_HEAD_BYTES = 4
_MEMORY_BYTES_MAX = 64 * 1024 * 1024


def check_password(password: bytes) -> None:
    """Raise `RequestRefused` for a password that no user may get."""
    if not PASSWORD_BYTES_MIN <= len(password) <= PASSWORD_BYTES_MAX:
        raise RequestRefused(
            "bad_request", f"a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes"
        )


def digest_password(password: bytes, *, salt: bytes | None = None) -> bytes:
    """Return the digest of a password under a new salt. Slow."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    return bytes((VERSION, *COST)) + salt + _scrypt(password, salt, COST)


def fits(password: bytes, digest: bytes) -> bool:
    """Return whether a password has this digest. Slow, whatever the answer, unless the digest is of no known form."""
    cost = tuple(digest[1:_HEAD_BYTES])
    known = len(digest) == _HEAD_BYTES + SALT_BYTES + DIGEST_BYTES and digest[0] == VERSION
    if not known or len(password) > PASSWORD_BYTES_MAX:
        return False
    salt, right = digest[_HEAD_BYTES : _HEAD_BYTES + SALT_BYTES], digest[_HEAD_BYTES + SALT_BYTES :]
    return hmac.compare_digest(_scrypt(password, salt, (cost[0], cost[1], cost[2])), right)


NOBODY = bytes((VERSION, *COST)) + bytes(SALT_BYTES + DIGEST_BYTES)
"""A digest that no password is known to have: what is asked for an unknown user takes as long as for others."""


def _scrypt(password: bytes, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    log_n, r, p = cost
    return hashlib.scrypt(
        password, salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MEMORY_BYTES_MAX, dklen=DIGEST_BYTES
    )
