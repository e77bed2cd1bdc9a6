"""Why a server that is there does not let us in (its certificate, our certificate, no TLS where it is wanted), each with what mends it."""

import asyncio
import contextlib
import ssl
from pathlib import Path

HANDSHAKE_SECONDS = 5.0
"""For one look at how a port answers: a server that is well answers within milliseconds."""

_EXPIRED = 10
_NOT_YET_VALID = 9
_WRONG_NAME = (62, 64)  # a host name, an IP address
"""OpenSSL's numbers for what a verification can find (X509_V_ERR_…); all others mean that nobody we trust has signed it."""


class ServerRefuses(Exception):
    """A server is there and does not let us in, or we do not trust it. Trying again changes nothing: `fix` says what does."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. Fix: {fix}")
        self.problem = problem
        self.fix = fix


def tls_context(cafile: Path | None, certfile: Path | None, keyfile: Path | None, settings: str) -> ssl.SSLContext:
    """A client's TLS: verifies the server's certificate and name. `settings` names the settings, as `MISSIONS_KAFKA_SSL_…`.

    Raises `ServerRefuses` for files that hold something else than they should.
    """
    try:
        context = ssl.create_default_context(cafile=str(cafile) if cafile else None)
        if certfile is not None:
            context.load_cert_chain(certfile, keyfile)
    except (OSError, ValueError) as error:  # ssl's errors are OSErrors
        files = ", ".join(str(file) for file in (cafile, certfile, keyfile) if file)
        raise ServerRefuses(
            f"the TLS files {files} can't be used: {error}", f"set {settings} to PEM files that belong together"
        ) from error
    return context


def refusal_of_tls(error: BaseException, server: str, address: str, trusted: str) -> ServerRefuses | None:
    """What a failed TLS handshake with `server` means; None when the error is no such failure.

    `trusted` is how the authorities that we trust are set.
    """
    found = _tls_error(error)
    where = f"{server} at {address}"
    if isinstance(found, ssl.SSLCertVerificationError):
        return _refusal_of_certificate(found, where, trusted)
    text = str(found or "").upper().replace(" ", "_")
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return ServerRefuses(f"{where} does not speak TLS", "use the port that does, or connect without TLS")
    if "CERTIFICATE_REQUIRED" in text or "ALERT" in text:
        return ServerRefuses(
            f"{where} does not accept our certificate, or wants one ({found})",
            "give this client a certificate that the server trusts",
        )
    return None


def _refusal_of_certificate(found: ssl.SSLCertVerificationError, where: str, trusted: str) -> ServerRefuses:
    if found.verify_code in (_EXPIRED, _NOT_YET_VALID):
        when = "has expired" if found.verify_code == _EXPIRED else "is not valid yet"
        return ServerRefuses(
            f"the certificate of {where} {when}", "renew it on the server (or set this machine's clock)"
        )
    if found.verify_code in _WRONG_NAME:
        return ServerRefuses(
            f"the certificate of {where} is for another host",
            "use a host name that the certificate has, or give the server a certificate for this one",
        )
    return ServerRefuses(
        f"the certificate of {where} is signed by nobody that we trust ({found.verify_message})",
        f"set {trusted} to a PEM file with the authority that signed it",
    )


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


async def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake succeeds there, whatever the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await writer.wait_closed()
    return True
