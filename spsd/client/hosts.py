"""The hosts that ``spsctl`` has logged in to, and what it remembers of each.

The file in the user's configuration directory contains session tokens: its mode is 0600, and it is
replaced atomically.
"""

import fcntl
import os
import pwd
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import click
import msgspec
from msgspec.structs import replace

from spsd.client.errors import CommandError, Exit

_Token = Annotated[str, msgspec.Meta(pattern=r"^[!-~]*\Z")]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Host(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One host: its session, and how its certificate is verified."""

    url: str
    user: str | None = None
    token: _Token | None = None
    fingerprint: _Digest | None = None
    """SHA-256 of the pinned certificate, 64 lower-case hexadecimal digits."""
    ca_file: str | None = None
    verified: bool = False
    """An authority of the system has verified its certificate at a log-in."""


class _File(msgspec.Struct, frozen=True):
    current: str | None = None
    hosts: dict[str, Host] = {}


class Hosts:
    """The file of the hosts; every call reads it, and a change replaces it.

    ``problem`` is why the file is not where it belongs. Other users may then have access to the
    directory of ``path``, so it is checked.
    """

    def __init__(self, path: Path, *, problem: str | None = None) -> None:
        self._path = path
        self._problem = problem

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
        if self._problem is not None:
            click.echo(
                f"spsctl: warning: {self._problem}; the session is stored in {self._path}. Set "
                "XDG_CONFIG_HOME to a directory of your own.",
                err=True,
            )
        self._change(
            lambda file: replace(file, current=host.url, hosts={**file.hosts, host.url: host})
        )

    def forget(self, url: str) -> None:
        """Remove the host with that URL and all that is remembered of it.

        Raises:
            CommandError: it is not stored, or the file cannot be read or written.
        """

        def without(file: _File) -> _File:
            if url not in file.hosts:
                known = ", ".join(file.hosts) or "none"
                raise CommandError(f"{url} is not known; known hosts: {known}", Exit.NOT_FOUND)
            hosts = {name: host for name, host in file.hosts.items() if name != url}
            return _File(current=None if file.current == url else file.current, hosts=hosts)

        self._change(without)

    def _read(self) -> _File:
        try:
            self._check_directory()
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File()
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            raise CommandError(
                f"{self._path} cannot be read: {error}. Move it away and log in again; spsctl then "
                "no longer knows which certificates it trusted.",
                Exit.USAGE,
            ) from error

    def _change(self, change: Callable[[_File], _File]) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_directory()
            with self._lock():
                self._write(change(self._read()))
        except OSError as error:
            raise CommandError(
                f"{self._path} cannot be written: {error.strerror}", Exit.USAGE
            ) from error

    def _write(self, file: _File) -> None:
        # mkstemp creates the file with mode 0600; the rename makes the change atomic.
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".hosts-")
        try:
            with os.fdopen(descriptor, "wb") as new:
                new.write(msgspec.json.format(msgspec.json.encode(file)) + b"\n")
            Path(name).replace(self._path)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Exclude other processes that change the file: each keeps what the other has written."""
        descriptor = os.open(
            self._path.with_name(".hosts.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _check_directory(self) -> None:
        if self._problem is None:
            return
        directory = self._path.parent
        status = directory.lstat()
        if (
            not stat.S_ISDIR(status.st_mode)
            or status.st_uid != os.geteuid()
            or status.st_mode & 0o077
        ):
            raise CommandError(
                f"{directory} is open to other users, so session tokens are not stored there. Set "
                "XDG_CONFIG_HOME to a directory of your own.",
                Exit.USAGE,
            )


def open_hosts(environ: Mapping[str, str]) -> Hosts:
    """The file of the hosts, in the first directory of :func:`config_roots` that can have it.

    Without any it is in a directory of this user below ``TMPDIR`` or ``/tmp``.
    """
    roots = config_roots(environ)
    paths = [root / "spsctl" / "hosts.json" for root in roots]
    temporary = _absolute(environ, "TMPDIR") or Path("/tmp")  # noqa: S108 - checked by Hosts
    paths.append(temporary / f"spsctl-{os.geteuid()}" / "hosts.json")
    path = next(
        (path for path in paths if os.path.lexists(path)),
        next((path for path in paths if _can_be_written(path)), paths[-1]),
    )
    if not roots:
        return Hosts(path, problem="there is no home directory")
    problem = None if path == paths[0] else f"{paths[0]} cannot be written"
    return Hosts(path, problem=problem)


def config_roots(environ: Mapping[str, str]) -> list[Path]:
    """Where configuration belongs (XDG Base Directory Specification), the preferred one first.

    A variable that is empty or relative does not count. ``HOME`` may be missing, and the user too
    may be missing from the system's list. The directory for state is the last resort.
    """
    if (home := _absolute(environ, "HOME")) is None:
        try:
            home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
        except KeyError:
            home = None
    roots = (
        _absolute(environ, "XDG_CONFIG_HOME"),
        None if home is None or not home.is_absolute() else home / ".config",
        _absolute(environ, "XDG_STATE_HOME"),
    )
    return [root for root in roots if root is not None]


def _absolute(environ: Mapping[str, str], name: str) -> Path | None:
    path = Path(environ.get(name, ""))
    return path if path.is_absolute() else None


def _can_be_written(path: Path) -> bool:
    """Whether the nearest of its directories that exists lets this process create entries."""
    existing = next(parent for parent in path.parents if os.path.lexists(parent))
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def normalize_url(url: str) -> str:
    """The URL of a host in its stored form, so that one host has one memory.

    It has a scheme (https without one), no default port, and no slash at the end; scheme and host
    name are in lower case.

    Raises:
        CommandError: it is no http or https URL with a host.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise CommandError(f"{url!r} is not the URL of a host: {error}", Exit.USAGE) from error
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise CommandError(
            f"{url!r} is not the URL of a host, such as https://appliance:8443", Exit.USAGE
        )
    user, at, _ = parts.netloc.rpartition("@")
    name = f"[{host}]" if ":" in host else host
    place = name if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{name}:{port}"
    return f"{parts.scheme}://{user}{at}{place}{parts.path}".rstrip("/")
