"""The configuration: a TOML file becomes frozen, validated settings.

The descriptions are the meanings in docs/settings.md.
"""

import hashlib
import json
import os
import re
import ssl
import stat
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from spsd.errors import ConfigurationError
from spsd.transfer.rules.proxy import exception_problem, proxy_problem, proxy_settings
from spsd.transfer.rules.url import without_credentials


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The address that the daemon listens on, TLS, and sessions."""

    host: Annotated[
        str,
        Meta(min_length=1, description='Address to listen on; `"::"`: every one of IPv4 and IPv6.'),
    ] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0: any free port.")] = 8443
    certificate: Annotated[
        str | None,
        Meta(
            description="PEM certificate chain, with `key`; neither: a self-signed pair is created."
        ),
    ] = None
    key: Annotated[str | None, Meta(description="PEM private key, not encrypted.")] = None
    certificate_names: Annotated[
        tuple[str, ...],
        Meta(
            max_length=64,
            description="More host names and addresses that the self-signed certificate names.",
        ),
    ] = ()
    plain_http: Annotated[
        bool, Meta(description="HTTP without TLS; only behind a reverse proxy or on loopback.")
    ] = False
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses, networks of proxies whose `X-Forwarded-For`, `-Proto` count."),
    ] = ()
    session_idle_minutes: Annotated[
        int,
        Meta(ge=1, le=1440, description="A session that is not used for so many minutes ends."),
    ] = 20
    session_hours: Annotated[
        int,
        Meta(
            ge=1,
            le=8760,
            description="A session ends so many hours after its log-in, in use or not.",
        ),
    ] = 12


class StateSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The state directory."""

    directory: Annotated[
        str, Meta(description="Database, partial images and slots; on one local file system.")
    ] = "/var/lib/spsd"


class SlotSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The firmware slots."""

    count: Annotated[
        int, Meta(ge=1, le=99, description="Number of slots; they are numbered from 1.")
    ] = 5
    accept: Annotated[
        Literal["iso", "any"],
        Meta(description="Images that are installed: `iso`: ISO 9660 only; `any`: all."),
    ] = "iso"


class FetchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How images are downloaded."""

    concurrent: Annotated[
        int, Meta(ge=1, le=64, description="Jobs that download at the same time.")
    ] = 1
    connections: Annotated[
        int,
        Meta(
            ge=1, le=16, description="Most connections of one job, if the origin supports ranges."
        ),
    ] = 4
    tls: Annotated[
        Literal["checksum", "strict"],
        Meta(description="`checksum`: the digest protects; `strict`: TLS must verify as well."),
    ] = "checksum"
    ca_file: Annotated[
        str | None,
        Meta(description="PEM file of the authorities to trust instead of the system's."),
    ] = None
    allow: Annotated[
        tuple[str, ...],
        Meta(description="Networks to connect to, besides public and private ones."),
    ] = ()
    proxy: Annotated[
        str | None,
        Meta(
            description='`http://user:password@host:port`; `""`: none; unset: from the environment.'
        ),
    ] = None
    no_proxy: Annotated[
        tuple[str, ...] | None,
        Meta(description="Hosts, domains, networks without proxy; unset: from the environment."),
    ] = None
    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Longest wait for a connection.")
    ] = 30.0
    minimum_bytes_per_s: Annotated[
        int, Meta(ge=1, le=2**40, description="A lower rate over `stall_window_s` is a stall.")
    ] = 1024
    stall_window_s: Annotated[
        float, Meta(gt=0, le=3600, description="Time over which the rate is measured.")
    ] = 60.0
    attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="A job fails after so many attempts in a row without progress.",
        ),
    ] = 10
    backoff_initial_s: Annotated[
        float,
        Meta(
            gt=0, le=3600, description="Wait after a failed attempt; each further one doubles it."
        ),
    ] = 1.0
    backoff_limit_s: Annotated[
        float, Meta(gt=0, le=86400, description="Longest wait between two attempts.")
    ] = 60.0
    rate_limit_bytes_per_s: Annotated[
        int, Meta(ge=0, le=2**40, description="Limit for all jobs together; 0: none.")
    ] = 0
    start_spread_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="New jobs wait up to so long, each appliance another time; 0: no wait.",
        ),
    ] = 0.0


class UpgradeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The programs that `test` and `upgrade` of a slot run."""

    test_hooks: Annotated[
        tuple[str, ...],
        Meta(description="Executables that test a slot, named in `SPSD_SLOT` and more."),
    ] = ()
    activate_hook: Annotated[
        str, Meta(description="Executable that prepares the next boot; it may run twice.")
    ] = ""
    hook_timeout_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="A hook that runs longer is killed, and counts as failed."),
    ] = 60.0
    reboot_command: Annotated[
        tuple[str, ...], Meta(description="Program and its arguments; empty: no reboot.")
    ] = ()


class MetricsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Access to `/metrics` from other machines."""

    token_file: Annotated[
        str | None,
        Meta(description="File with the token for `/metrics` from other machines; none: closed."),
    ] = None


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The log on standard error."""

    format: Annotated[
        Literal["auto", "text", "json"],
        Meta(description="`auto`: text, without the time if the journal records it."),
    ] = "auto"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration; every key has a default."""

    server: ServerSettings = ServerSettings()
    state: StateSettings = StateSettings()
    slots: SlotSettings = SlotSettings()
    fetch: FetchSettings = FetchSettings()
    upgrade: UpgradeSettings = UpgradeSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()


def reference() -> str:
    """A Markdown table with a row for each key: name, type, default, meaning."""
    rows = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    for section in msgspec.structs.fields(Settings):
        for name, hint in get_type_hints(section.type, include_extras=True).items():
            kind, meta = get_args(hint)
            default = getattr(section.default, name)
            default_text = "none" if default is None else f"`{json.dumps(default)}`"
            row = (f"`{section.name}.{name}`", _type(kind, meta), default_text, meta.description)
            rows.append(f"| {' | '.join(row)} |")
    return "\n".join(rows) + "\n"


def _type(kind: object, meta: Meta) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in get_args(kind))
    if any(get_origin(part) is tuple for part in (kind, *get_args(kind))):
        return "list of strings"
    words: dict[object, str] = {int: "integer", float: "number", bool: "`true` or `false`"}
    lowest = meta.ge if meta.gt is None else f"over {meta.gt}"
    bounds = "" if meta.le is None else f", {lowest} to {meta.le}"
    return words.get(kind, "string") + bounds


def load(path: Path) -> Settings:
    """Read and check the file.

    Raises:
        ConfigurationError: the file cannot be read or used; one line with the file and the key.
    """
    try:
        settings = msgspec.convert(_tables(path.read_text(encoding="utf-8")), Settings)
    except OSError as error:
        raise _failure(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _failure(path, f"is not UTF-8: byte {error.start} {error.reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise _failure(path, f"is not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise _failure(path, _with_key_first(str(error))) from error
    for problem in _problems(settings):
        raise _failure(path, problem)
    return settings


def _tables(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("its values are nested too deeply") from error
    except ValueError as error:
        if isinstance(error, tomllib.TOMLDecodeError):
            raise
        # int() converts at most 4300 digits.
        raise tomllib.TOMLDecodeError("a number has too many digits") from error


def metrics_token(settings: Settings) -> str | None:
    """The token in ``[metrics] token_file``, without surrounding blanks; None: no file is set.

    Raises:
        ConfigurationError: the file cannot be read, is readable for other users, or holds no token.
    """
    text = settings.metrics.token_file
    if text is None:
        return None
    try:
        for problem in _token_problems(text):
            raise ConfigurationError(problem)
        return Path(text).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"metrics.token_file: {text!r}: {error.strerror}") from error


def fingerprint_of(settings: Settings) -> str:
    """SHA-256, in hexadecimal digits, of the settings in effect with all defaults.

    The user name and the password of the proxy are left out: otherwise a client that sees the
    fingerprint could test passwords against it.
    """
    proxy = settings.fetch.proxy and without_credentials(settings.fetch.proxy)
    public_fetch = msgspec.structs.replace(settings.fetch, proxy=proxy)
    public = msgspec.structs.replace(settings, fetch=public_fetch)
    return hashlib.sha256(msgspec.json.encode(public)).hexdigest()


def _failure(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(" ".join(f"{path}: {problem}".split()))


_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<key>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


def _with_key_first(message: str) -> str:
    """A message of msgspec, which ends with the key, in our form ``key: problem``."""
    parts = _MESSAGE.fullmatch(message)
    what, key = (parts["what"], parts["key"] or "") if parts is not None else (message, "")
    if (unknown := _UNKNOWN.fullmatch(what)) is not None:
        return f"{f'{key}.' if key else ''}{unknown[1]}: there is no such key"
    return f"{key}: {what}"


def _problems(settings: Settings) -> Iterator[str]:
    """Faults that the types of the settings cannot express."""
    server, fetch, upgrade = settings.server, settings.fetch, settings.upgrade
    if (server.certificate is None) != (server.key is None):
        missing, given = ("key", "certificate") if server.key is None else ("certificate", "key")
        yield f"server.{missing}: is missing, although server.{given} is set"
    if server.plain_http and server.certificate is not None:
        yield "server.plain_http: is true, although server.certificate is set; remove one of them"
    yield from _certificate_name_problems(server)
    for text in server.trusted_proxies:
        try:
            if ip_network(text, strict=False).prefixlen == 0:
                yield f"server.trusted_proxies: {text} is every client, and any could lie"
        except ValueError as error:
            yield f"server.trusted_proxies: {error}"
    yield from _unreadable_file("server.certificate", server.certificate)
    yield from _unreadable_file("server.key", server.key)
    yield from _relative_paths("state.directory", settings.state.directory)
    yield from _relative_paths("upgrade.test_hooks", *upgrade.test_hooks)
    if upgrade.activate_hook:
        yield from _relative_paths("upgrade.activate_hook", upgrade.activate_hook)
    if upgrade.reboot_command and not upgrade.reboot_command[0]:
        yield "upgrade.reboot_command: names no program"
    yield from _token_problems(settings.metrics.token_file)
    yield from _fetch_problems(fetch)


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII | re.IGNORECASE)
"""RFC 1123 section 2.1. A last label of digits alone would be a mistyped address."""


def _certificate_name_problems(server: ServerSettings) -> Iterator[str]:
    if server.certificate_names and (server.certificate is not None or server.plain_http):
        other = "plain_http" if server.plain_http else "certificate"
        yield f"server.certificate_names: has no effect, since server.{other} is set; remove one"
    for text in server.certificate_names:
        if not _is_address(text) and (
            _HOST_NAME.fullmatch(text) is None or text.rpartition(".")[2].isdigit()
        ):
            yield (
                f"server.certificate_names: {text!r} is no host name and no address (a name that "
                "is not ASCII is written in its form xn--…)"
            )


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(str(ip_address(text)))
    except ValueError:
        return False


def _fetch_problems(fetch: FetchSettings) -> Iterator[str]:
    yield from _unreadable_file("fetch.ca_file", fetch.ca_file)
    yield from _unusable_authorities(fetch.ca_file)
    for text in fetch.allow:
        try:
            ip_network(text, strict=False)
        except ValueError as error:
            yield f"fetch.allow: {error}"
    proxies = proxy_settings(fetch.proxy, fetch.no_proxy, {})
    if proxies.http is not None and (problem := proxy_problem(proxies.http)) is not None:
        yield f"fetch.proxy: {problem}"
    for text in fetch.no_proxy or ():
        if (problem := exception_problem(text)) is not None:
            yield f"fetch.no_proxy: {problem}"
    if fetch.backoff_limit_s < fetch.backoff_initial_s:
        yield "fetch.backoff_limit_s: is less than fetch.backoff_initial_s"


def _relative_paths(key: str, *texts: str) -> Iterator[str]:
    for text in texts:
        if not text.startswith("/"):
            yield f"{key}: {text!r} is not an absolute path"


def _unreadable_file(key: str, text: str | None) -> Iterator[str]:
    if text is not None:
        yield from _relative_paths(key, text)
        if not Path(text).is_file() or not os.access(text, os.R_OK):
            yield f"{key}: {text!r} is not a readable file"


TOKEN_LENGTH = 16
"""Characters of the shortest token that cannot be guessed over a network."""
_TOKEN = re.compile(rb"[!-~]{%d,}" % TOKEN_LENGTH)


def _token_problems(text: str | None) -> Iterator[str]:
    """The faults of a token file; the messages hold nothing of its content."""
    if text is None:
        return
    yield from _unreadable_file("metrics.token_file", text)
    if Path(text).stat().st_mode & stat.S_IROTH:
        yield f"metrics.token_file: {text!r} is readable for all users: chmod o= it"
    if not _TOKEN.fullmatch(Path(text).read_bytes().strip()):
        yield (
            f"metrics.token_file: {text!r} holds no token: one line of {TOKEN_LENGTH} or more "
            "visible ASCII characters without blanks"
        )


def _unusable_authorities(text: str | None) -> Iterator[str]:
    if text is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(text)
        except OSError as error:
            yield f"fetch.ca_file: {text!r} holds no certificates: {error}"
