"""The hosts that ``spsctl`` has logged in to, in the user's config directory.

The file holds session tokens: it is readable by its user alone, and replaced as a whole.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from spsd.client.exits import Exit
from spsd.client.failures import CommandError


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
