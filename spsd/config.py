"""The configuration: TOML in, frozen and validated settings out."""

import hashlib
import json
import os
import re
import ssl
import stat
import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from spsd.errors import ConfigurationError
from spsd.transfer.rules.proxy import exception_problem, proxy_problem, proxy_settings
from spsd.transfer.rules.url import without_credentials


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the daemon listens, and how clients prove themselves."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0: any free one.")] = 8443
    certificate: Annotated[
        str | None, Meta(description="PEM chain, with `key`; neither: a self-signed pair is made.")
    ] = None
    key: Annotated[str | None, Meta(description="PEM private key, not encrypted.")] = None
    plain_http: Annotated[bool, Meta(description="No TLS: behind a proxy or on loopback.")] = False
    session_idle_minutes: Annotated[
        int, Meta(ge=1, le=1440, description="A session not used for so long is over.")
    ] = 20


class StateSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where everything lies."""

    directory: Annotated[
        str, Meta(description="Database, partial images and slots; one local file system.")
    ] = "/var/lib/spsd"


class SlotSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The firmware slots."""

    count: Annotated[int, Meta(ge=1, le=99, description="Slots, numbered from 1.")] = 5
    accept: Annotated[
        Literal["iso", "any"], Meta(description="What is installed: ISO 9660 only, or any image.")
    ] = "iso"


class FetchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How images are fetched."""

    concurrent: Annotated[int, Meta(ge=1, le=64, description="Jobs at a time.")] = 1
    connections: Annotated[
        int, Meta(ge=1, le=16, description="Connections for one job, where the origin allows.")
    ] = 4
    tls: Annotated[
        Literal["checksum", "strict"],
        Meta(description="`checksum`: the digest protects; `strict`: TLS must verify as well."),
    ] = "checksum"
    ca_file: Annotated[
        str | None, Meta(description="PEM authorities to trust instead of the system's.")
    ] = None
    allow: Annotated[
        tuple[str, ...], Meta(description="Networks to connect to beside public and private ones.")
    ] = ()
    proxy: Annotated[
        str | None,
        Meta(
            description='`http://user:password@host:port`; `""`: none; unset: the environment\'s.'
        ),
    ] = None
    no_proxy: Annotated[
        tuple[str, ...] | None,
        Meta(description="Hosts, domains, networks without proxy; unset: the environment's."),
    ] = None
    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Longest wait for a connection.")
    ] = 30.0
    minimum_bytes_per_s: Annotated[
        int, Meta(ge=1, le=2**40, description="Slower than this is a stall.")
    ] = 1024
    stall_window_s: Annotated[
        float, Meta(gt=0, le=3600, description="Time over which the rate is measured.")
    ] = 60.0
    attempts: Annotated[
        int, Meta(ge=1, le=1000, description="Failures in a row without getting ahead.")
    ] = 10
    backoff_initial_s: Annotated[
        float, Meta(gt=0, le=3600, description="Wait after the first failure; it then doubles.")
    ] = 1.0
    backoff_limit_s: Annotated[
        float, Meta(gt=0, le=86400, description="The wait grows no longer than this.")
    ] = 60.0
    rate_limit_bytes_per_s: Annotated[
        int, Meta(ge=0, le=2**40, description="For all jobs together; 0: none.")
    ] = 0
    start_spread_s: Annotated[
        float,
        Meta(ge=0, le=86400, description="Starts of a fleet are spread over this; 0: at once."),
    ] = 0.0


class UpgradeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is run for `test` and `upgrade` of a slot."""

    test_hooks: Annotated[
        tuple[str, ...],
        Meta(description="Executables that judge a slot; `SPSD_IMAGE` and more tell which."),
    ] = ()
    activate_hook: Annotated[
        str, Meta(description="Executable that readies the next boot; it may be run twice.")
    ] = ""
    hook_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="A hook that takes longer is killed, and failed.")
    ] = 60.0
    reboot_command: Annotated[
        tuple[str, ...], Meta(description="Program and arguments; empty: no reboot.")
    ] = ()


class MetricsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may read `/metrics`."""

    token_file: Annotated[
        str | None,
        Meta(description="File with the token that opens `/metrics` from elsewhere; none: closed."),
    ] = None


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How the log on standard error looks."""

    format: Annotated[
        Literal["auto", "text", "json"],
        Meta(description="`auto`: text, without the time where the journal keeps it."),
    ] = "auto"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    state: StateSettings = StateSettings()
    slots: SlotSettings = SlotSettings()
    fetch: FetchSettings = FetchSettings()
    upgrade: UpgradeSettings = UpgradeSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()


def reference() -> str:
    """Every key as a row of a Markdown table: name, type, default, meaning."""
    rows = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    for section in msgspec.structs.fields(Settings):
        for name, hint in get_type_hints(section.type, include_extras=True).items():
            kind, meta = get_args(hint)
            default = getattr(section.default, name)
            shown = "none" if default is None else f"`{json.dumps(default)}`"
            row = (f"`{section.name}.{name}`", _type(kind, meta), shown, meta.description)
            rows.append(f"| {' | '.join(row)} |")
    return "\n".join(rows) + "\n"


def _type(kind: object, meta: Meta) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in get_args(kind))
    if any(get_origin(one) is tuple for one in (kind, *get_args(kind))):
        return "list of strings"
    words: dict[object, str] = {int: "integer", float: "number", bool: "`true` or `false`"}
    lowest = meta.ge if meta.gt is None else f"over {meta.gt}"
    bounds = "" if meta.le is None else f", {lowest} to {meta.le}"
    return words.get(kind, "string") + bounds


def load(path: Path) -> Settings:
    """Read and check the file.

    Raises:
        ConfigurationError: one line that names the file and the key.
    """
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Settings)
    except OSError as error:
        raise _failure(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _failure(path, f"is not UTF-8: byte {error.start} {error.reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise _failure(path, f"is no TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise _failure(path, _with_key_first(str(error))) from error
    for problem in _problems(settings):
        raise _failure(path, problem)
    return settings


def metrics_token(settings: Settings) -> str | None:
    """The token in ``[metrics] token_file``, without blanks around it; None: there is none.

    Raises:
        ConfigurationError: the file is not as it should be.
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
    """SHA-256 in hexadecimal digits of what is in force, be it spelt out or a default.

    The proxy's user and password are left out.
    """
    fetch = settings.fetch
    # Whoever sees the fingerprint could try passwords against it.
    shown = msgspec.structs.replace(fetch, proxy=fetch.proxy and without_credentials(fetch.proxy))
    named = msgspec.structs.replace(settings, fetch=shown)
    return hashlib.sha256(msgspec.json.encode(named)).hexdigest()


def _failure(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(" ".join(f"{path}: {problem}".split()))


_AT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<key>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


def _with_key_first(message: str) -> str:
    parts = _AT.fullmatch(message)
    what, key = (parts["what"], parts["key"] or "") if parts is not None else (message, "")
    if (unknown := _UNKNOWN.fullmatch(what)) is not None:
        return f"{f'{key}.' if key else ''}{unknown[1]}: there is no such key"
    return f"{key}: {what}"


def _problems(settings: Settings) -> Iterator[str]:
    """What a type cannot say."""
    server, fetch, upgrade = settings.server, settings.fetch, settings.upgrade
    if (server.certificate is None) != (server.key is None):
        missing, given = ("key", "certificate") if server.key is None else ("certificate", "key")
        yield f"server.{missing}: is missing, although server.{given} is set"
    if server.plain_http and server.certificate is not None:
        yield "server.plain_http: is true, although server.certificate is set; remove one"
    yield from _unreadable("server.certificate", server.certificate)
    yield from _unreadable("server.key", server.key)
    yield from _relative("state.directory", settings.state.directory)
    yield from _relative("upgrade.test_hooks", *upgrade.test_hooks)
    if upgrade.activate_hook:
        yield from _relative("upgrade.activate_hook", upgrade.activate_hook)
    if upgrade.reboot_command and not upgrade.reboot_command[0]:
        yield "upgrade.reboot_command: names no program"
    yield from _token_problems(settings.metrics.token_file)
    yield from _fetch_problems(fetch)


def _fetch_problems(fetch: FetchSettings) -> Iterator[str]:
    yield from _unreadable("fetch.ca_file", fetch.ca_file)
    yield from _unfit_authorities(fetch.ca_file)
    for text in fetch.allow:
        try:
            ip_network(text, strict=False)
        except ValueError as error:
            yield f"fetch.allow: {error}"
    wanted = proxy_settings(fetch.proxy, fetch.no_proxy, {})
    if wanted.http is not None and (problem := proxy_problem(wanted.http)) is not None:
        yield f"fetch.proxy: {problem}"
    for text in fetch.no_proxy or ():
        if (problem := exception_problem(text)) is not None:
            yield f"fetch.no_proxy: {problem}"
    if fetch.backoff_limit_s < fetch.backoff_initial_s:
        yield "fetch.backoff_limit_s: is less than fetch.backoff_initial_s"


def _relative(key: str, *texts: str) -> Iterator[str]:
    for text in texts:
        if not text.startswith("/"):
            yield f"{key}: {text!r} is not an absolute path"


def _unreadable(key: str, text: str | None) -> Iterator[str]:
    if text is not None:
        yield from _relative(key, text)
        if not Path(text).is_file() or not os.access(text, os.R_OK):
            yield f"{key}: {text!r} is no file that can be read"


TOKEN_LENGTH = 16
"""The least that cannot be guessed over a network, in characters."""
_TOKEN = re.compile(rb"[!-~]{%d,}" % TOKEN_LENGTH)


def _token_problems(text: str | None) -> Iterator[str]:
    """Never with a word of what the file holds."""
    if text is None:
        return
    yield from _unreadable("metrics.token_file", text)
    if Path(text).stat().st_mode & stat.S_IROTH:
        yield f"metrics.token_file: {text!r} can be read by everybody: chmod o= it"
    if not _TOKEN.fullmatch(Path(text).read_bytes().strip()):
        yield (
            f"metrics.token_file: {text!r} holds no token: one line of {TOKEN_LENGTH} or more "
            "visible ASCII characters, no blank between"
        )


def _unfit_authorities(text: str | None) -> Iterator[str]:
    if text is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(text)
        except OSError as error:
            yield f"fetch.ca_file: {text!r} holds no certificates: {error}"
