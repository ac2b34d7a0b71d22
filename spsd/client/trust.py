"""Whether a server's certificate is the right one: as pinned at a log-in, or by authorities."""

import asyncio
import hashlib
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import Fingerprint

from spsd.client.exits import Exit
from spsd.client.failures import CommandError
from spsd.client.hosts import Host


def trusted(host: Host) -> ssl.SSLContext | Fingerprint:
    """How aiohttp is to judge the host: by authorities, or by its fingerprint.

    Raises:
        CommandError: the file of authorities cannot be used.
    """
    if host.ca_file is not None:
        try:
            return _judging(host.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CommandError(f"{host.ca_file} cannot be used: {error}", Exit.USAGE) from error
    if host.fingerprint is not None:
        return Fingerprint(bytes.fromhex(host.fingerprint))
    return _judging()


async def presented(url: str) -> str | None:
    """The SHA-256 of the certificate that the server shows; None: the system trusts it, or no TLS.

    Raises:
        CommandError: the server cannot be reached.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    address = (parts.hostname or "", parts.port or 443)
    try:
        return await _handshake(*address, _judging())
    except ssl.SSLCertVerificationError:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return await _handshake(*address, context)


def _judging(ca_file: str | None = None) -> ssl.SSLContext:
    """Judges by the authorities of a file or of the system, as spsd does itself.

    That is in the same way under every Python: see docs/decisions/0027.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


async def _handshake(host: str, port: int, context: ssl.SSLContext) -> str | None:
    try:
        async with asyncio.timeout(30):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, TimeoutError) as error:
        raise CommandError(f"{host}:{port} cannot be reached: {error}", Exit.UNREACHABLE) from error
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    verified = context.verify_mode is ssl.CERT_REQUIRED
    return None if verified else hashlib.sha256(shown).hexdigest()


def spelled(fingerprint: str) -> str:
    """As openssl prints it: pairs with colons."""
    pairs = (fingerprint[at : at + 2] for at in range(0, len(fingerprint), 2))
    return ":".join(pairs).upper()


def parsed(text: str) -> str:
    """A fingerprint as it is kept, from one as anybody may write it.

    Raises:
        CommandError: it is none.
    """
    digits = text.removeprefix("SHA256:").replace(":", "").lower()
    try:
        if len(bytes.fromhex(digits)) == hashlib.sha256().digest_size:
            return digits
    except ValueError:
        pass
    raise CommandError(f"{text!r} is no SHA-256 fingerprint of a certificate", Exit.USAGE)


def pin_file(text: str) -> str:
    """The file of authorities, absolute: it is used from other directories later."""
    return str(Path(text).resolve())
