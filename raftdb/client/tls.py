"""TLS over the sockets of both halves of the client: bytes in, bytes out, and no I/O."""

import ssl

from raftdb.client.encryption import Tls, TlsOption
from raftdb.client.http1 import NotSent
from raftdb.errors import RequestRefused
from raftdb.tls_reasons import tls_reason

READ_BYTES = 16 * 1024
"""Longest content of a record of TLS; a read returns no more, and making room for more takes time."""


class Tunnel:
    """One connection. What `decrypt` and `encrypt` raise is ConnectionError, or `NotSent` if the node has ended the
    handshake: it has read nothing then."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._has_received = False

    def shake_hands(self) -> tuple[bytes, bool]:
        """The next bytes to send of the handshake, and whether that is all. Raises `NotSent`."""
        try:
            self._object.do_handshake()
            is_done = True
        except ssl.SSLWantReadError:
            is_done = False
        except ssl.SSLError as error:
            raise NotSent(tls_reason(error)) from error
        return self._outgoing.read(), is_done

    def feed(self, content: bytes) -> None:
        """Take what has arrived; nothing if the other side has closed the connection."""
        if content:
            self._incoming.write(content)
        else:
            self._incoming.write_eof()

    def encrypt(self, content: bytes) -> bytes:
        """The bytes to send for `content`."""
        try:
            self._object.write(content)
        except ssl.SSLError as error:
            raise ConnectionError(tls_reason(error)) from error
        return self._outgoing.read()

    def decrypt(self) -> bytes | None:
        """What has arrived, as far as it is complete: None if nothing is, and nothing at the end of the connection."""
        try:
            content = self._object.read(READ_BYTES)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            reason = tls_reason(error)
            if not self._has_received and "alert" in str(error).lower():
                raise NotSent(reason) from error
            raise ConnectionError(reason) from error
        self._has_received = True
        return content


def context_of(given: TlsOption) -> ssl.SSLContext:
    """The context that a caller has given, or one of its files: TLS 1.2 at least. Raises `RequestRefused`."""
    if isinstance(given, ssl.SSLContext):
        return given
    files = given if isinstance(given, Tls) else Tls()
    try:
        context = ssl.create_default_context(cafile=files.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if files.cert is not None:
            # A key that is encrypted must not make a program wait for a terminal.
            context.load_cert_chain(files.cert, files.key, password="")
    except (ssl.SSLError, OSError) as error:
        why = tls_reason(error) if isinstance(error, ssl.SSLError) else (error.strerror or str(error)).lower()
        named = ", ".join(str(path) for path in (files.ca, files.cert, files.key) if path is not None)
        raise RequestRefused("bad_request", f"the certificates cannot be used ({named}): {why}") from None
    return context
