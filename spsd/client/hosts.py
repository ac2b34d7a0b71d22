"""The hosts that ``spsctl`` has logged in to, and the TLS verification of each.

The file in the user's configuration directory contains session tokens: its mode is 0600, and it is
replaced atomically.
"""

import asyncio
import hashlib
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from aiohttp import Fingerprint
from msgspec.structs import replace

from spsd.client.errors import CommandError, Exit

_HANDSHAKE_TIMEOUT_S = 30


class Host(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One host: its session, and how its certificate is verified."""

    url: str
    user: str | None = None
    token: str | None = None
    fingerprint: str | None = None
    """SHA-256 of the pinned certificate, 64 lower-case hexadecimal digits."""
    ca_file: str | None = None


class _File(msgspec.Struct, frozen=True):
    current: str | None = None
    hosts: dict[str, Host] = {}


class Hosts:
    """The file of the hosts; every call reads it, and :meth:`save` replaces it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def current(self) -> Host | None:
        """The host of the last log-in; None before the first.

        Raises:
            CommandError: the file cannot be read.
        """
        file = self._read()
        return None if file.current is None else file.hosts.get(file.current)

    def get(self, url: str) -> Host:
        """The stored host with that URL, or a new one with nothing but the URL.

        Raises:
            CommandError: the file cannot be read.
        """
        return self._read().hosts.get(url, Host(url=url))

    def save(self, host: Host) -> None:
        """Store the host and make it the current one.

        Raises:
            CommandError: the file cannot be read or written.
        """
        file = self._read()
        self._write(replace(file, current=host.url, hosts={**file.hosts, host.url: host}))

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File()
        except (OSError, msgspec.MsgspecError) as error:
            raise CommandError(
                f"{self._path} cannot be read: {error}. Remove the file and log in again.",
                Exit.USAGE,
            ) from error

    def _write(self, file: _File) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp creates the file with mode 0600; the rename makes the change atomic.
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".hosts-")
            try:
                with os.fdopen(descriptor, "wb") as new:
                    new.write(msgspec.json.format(msgspec.json.encode(file)) + b"\n")
                Path(name).replace(self._path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise CommandError(
                f"{self._path} cannot be written: {error.strerror}", Exit.USAGE
            ) from error


def hosts_path(environ: Mapping[str, str]) -> Path:
    """The path of the file (XDG Base Directory Specification)."""
    config = environ.get("XDG_CONFIG_HOME", "")
    root = Path(config) if config.startswith("/") else Path(environ["HOME"]) / ".config"
    return root / "spsctl" / "hosts.json"


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


async def untrusted_fingerprint(url: str) -> str | None:
    """The fingerprint of the server's certificate, if the system's authorities reject it.

    None: the certificate verifies, or the URL is not https.

    Raises:
        CommandError: the server cannot be reached.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    address = (parts.hostname or "", parts.port or 443)
    try:
        await _read_certificate(*address, _verifying_context())
    except ssl.SSLCertVerificationError:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return hashlib.sha256(await _read_certificate(*address, context)).hexdigest()
    return None


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
    except (OSError, TimeoutError) as error:
        raise CommandError(f"{host}:{port} cannot be reached: {error}", Exit.UNREACHABLE) from error
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
