"""What a failed TLS handshake means, in words for people."""

import ssl
from typing import Final

_OTHER_NAMES: Final = (62, 64)
_OUT_OF_DATE: Final = (9, 10)
"""OpenSSL's numbers of what can be wrong with a certificate, X509_V_ERR_…"""

_PASSING: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""A connection that broke off in the middle of a handshake; the next one may not."""


def why(error: ssl.SSLError, setting: str, option: str) -> str:
    """Return why a handshake failed: a clause without a full stop.

    Args:
        error: what was raised.
        setting: the URL that led there.
        option: how that URL names the file of an authority.
    """
    if not isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "reason", None) or "no TLS"
        return f"the TLS handshake failed ({reason}); look whether it speaks TLS on that port"
    told = str(error.verify_message).rstrip(".")
    if error.verify_code in _OTHER_NAMES:
        hint = f"let {setting} name the host that the certificate is for"
    elif error.verify_code in _OUT_OF_DATE:
        hint = "renew it on the server, and compare the clocks"
    else:
        hint = f"name the authority's file as ?{option}=… in {setting}"
    return f"its TLS certificate isn't trusted ({told}); {hint}"


def is_final(error: BaseException) -> bool:
    """Tell whether waiting is in vain: another attempt would be refused for the same reason."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, _PASSING)
