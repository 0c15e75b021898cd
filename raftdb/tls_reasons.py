"""Why TLS has failed, in a few words for the log and for people, instead of OpenSSL's."""

import ssl


def tls_reason(error: ssl.SSLError) -> str:
    """The reason of one failure."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL gives a reason, and our own checks the words themselves.
        why = getattr(error, "verify_message", "") or str(error.args[-1])
        return f"the certificate is not accepted: {why.removesuffix('.')}"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return _WORDS.get(reason, f"TLS failed: {reason}")


_WORDS = {
    "wrong version number": "the other end does not speak TLS there",
    "record layer failure": "the other end does not speak TLS there",
    "http request": "the other end does not speak TLS there",
    "tlsv13 alert certificate required": "the other end wants a certificate",
    "tlsv1 alert unknown ca": "the other end does not accept this end's certificate: it is of another CA",
    "sslv3 alert certificate unknown": "the other end does not accept this end's certificate",
    "sslv3 alert certificate expired": "the other end does not accept this end's certificate: it has expired",
}
