"""The hosts that ``spsctl`` has logged in to, and how each one's certificate is verified.

The file in the user's configuration directory holds session tokens: only its user can read it, and
it is replaced as a whole.
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


class Host(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One host: how it is trusted, and the session there."""

    url: str
    user: str | None = None
    token: str | None = None
    fingerprint: str | None = None
    """SHA-256 of the certificate that was pinned, in hexadecimal."""
    ca_file: str | None = None


class _File(msgspec.Struct, frozen=True):
    current: str | None = None
    hosts: dict[str, Host] = {}


class Hosts:
    """The file, read and written as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def current(self) -> Host | None:
        """The host of the last log-in; None: there was none.

        Raises:
            CommandError: the file cannot be read.
        """
        file = self._read()
        return None if file.current is None else file.hosts.get(file.current)

    def get(self, url: str) -> Host:
        """What is known of that host, which may be nothing but its URL."""
        return self._read().hosts.get(url, Host(url=url))

    def keep(self, host: Host) -> None:
        """Remember the host, as the current one."""
        file = self._read()
        self._write(replace(file, current=host.url, hosts={**file.hosts, host.url: host}))

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File()
        except (OSError, msgspec.MsgspecError) as error:
            raise CommandError(
                f"{self._path} cannot be read: {error}. Remove it, and log in again.", Exit.USAGE
            ) from error

    def _write(self, file: _File) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made with 0600, and never half written in its place.
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
    """Where the file is (XDG Base Directory Specification)."""
    config = environ.get("XDG_CONFIG_HOME", "")
    root = Path(config) if config.startswith("/") else Path(environ["HOME"]) / ".config"
    return root / "spsctl" / "hosts.json"


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
