"""Trust in the certificate of a host: how it is verified, and what a change of it means."""

import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import Fingerprint
from msgspec.structs import replace

from spsd.client.errors import CommandError, Exit
from spsd.client.hosts import Host

_HANDSHAKE_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a host presents.

    ``fingerprint``: its SHA-256, as :attr:`Host.fingerprint`. ``rejection``: why the authorities of
    the system do not verify it, None: they do.
    """

    fingerprint: str
    rejection: str | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Neither an authority nor an earlier log-in vouches for the certificate."""

    certificate: Certificate


def judge(host: Host, certificate: Certificate | None) -> Host | Unknown:
    """The host as it is to be remembered, if its certificate is trusted; pure.

    ``certificate`` None: the URL is not https. A pin stays while the certificate has it. One that
    an authority verifies needs no pin, so that a renewal needs none either.

    Raises:
        CommandError: an earlier log-in knew the host by something better than this.
    """
    if certificate is None or host.ca_file is not None:
        return host
    verified = certificate.rejection is None
    if certificate.fingerprint == host.fingerprint:
        return replace(host, verified=host.verified or verified)
    if verified:
        return replace(host, fingerprint=None, verified=True)
    shown = format_fingerprint(certificate.fingerprint)
    if host.fingerprint is not None:
        raise CommandError(not_the_pinned_one(host, shown), Exit.NOT_TRUSTED)
    if host.verified:
        raise CommandError(
            f"{no_longer_verified(host, certificate.rejection or '')} Its SHA-256 fingerprint is "
            f"{shown}.",
            Exit.NOT_TRUSTED,
        )
    return Unknown(certificate)


def not_the_pinned_one(host: Host, shown: str) -> str:
    """The sentence for a certificate whose fingerprint is ``shown``, and not that of the pin."""
    return (
        f"the certificate of {host.url} is not the pinned one: its fingerprint is {shown}, the "
        f"pinned one is {format_fingerprint(host.fingerprint or '')}. If the certificate was "
        "replaced on purpose, log in again with --fingerprint."
    )


def no_longer_verified(host: Host, rejection: str) -> str:
    """The sentence for a certificate that an authority verified at an earlier log-in."""
    return (
        f"the certificate of {host.url} does not verify: {rejection}. At an earlier log-in an "
        "authority verified it, so another machine may be in the place of the host; nothing was "
        "sent. If the certificate was replaced on purpose, log in again with --fingerprint or "
        f"--ca-file, or first run `spsctl forget {host.url}`."
    )


def tls_verification(host: Host) -> ssl.SSLContext | Fingerprint:
    """The ``ssl`` argument of aiohttp's connector for this host.

    That is its CA file, else its pinned fingerprint, else the authorities of the system.

    Raises:
        CommandError: the CA file cannot be used.
    """
    if host.ca_file is not None:
        try:
            return _verifying_context(host.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CommandError(f"{host.ca_file} cannot be used: {error}", Exit.USAGE) from error
    if host.fingerprint is not None:
        return Fingerprint(bytes.fromhex(host.fingerprint))
    return _verifying_context()


async def presented_certificate(url: str) -> Certificate | None:
    """The certificate that the server presents; None: the URL is not https.

    Raises:
        CommandError: the server cannot be reached.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    address = (parts.hostname or "", parts.port or 443)
    rejection = None
    try:
        certificate = await _read_certificate(*address, _verifying_context())
    except ssl.SSLCertVerificationError as error:
        rejection = error.verify_message
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        certificate = await _read_certificate(*address, context)
    return Certificate(hashlib.sha256(certificate).hexdigest(), rejection)


def _verifying_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Verifies by the authorities of ``ca_file``, or of the system without one.

    The flags are those of the daemon, so that each Python release accepts the same certificates:
    see docs/decisions/0027.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


async def _read_certificate(host: str, port: int, context: ssl.SSLContext) -> bytes:
    """The server's certificate, DER-encoded."""
    try:
        async with asyncio.timeout(_HANDSHAKE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that IDNA cannot encode
        reason = str(error) or type(error).__name__
        raise CommandError(
            f"{host}:{port} cannot be reached: {reason}", Exit.UNREACHABLE
        ) from error
    try:
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    return certificate


def format_fingerprint(digits: str) -> str:
    """Hexadecimal digits as openssl prints a fingerprint: upper case, pairs joined by colons."""
    pairs = (digits[at : at + 2] for at in range(0, len(digits), 2))
    return ":".join(pairs).upper()


def parse_fingerprint(text: str) -> str:
    """The 64 lower-case digits of a fingerprint, with or without colons and ``SHA256:``.

    Raises:
        CommandError: ``text`` is no SHA-256 fingerprint.
    """
    digits = text.removeprefix("SHA256:").replace(":", "").lower()
    try:
        if len(bytes.fromhex(digits)) == hashlib.sha256().digest_size:
            return digits
    except ValueError:
        pass
    raise CommandError(f"{text!r} is not the SHA-256 fingerprint of a certificate", Exit.USAGE)
