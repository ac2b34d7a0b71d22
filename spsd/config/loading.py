"""From a TOML file to settings."""

import hashlib
import os
import re
import ssl
import stat
import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import msgspec

from spsd.config.settings import FetchSettings, Settings
from spsd.errors import ConfigurationError
from spsd.transfer.rules.proxy import exception_problem, proxy_problem, proxy_settings
from spsd.transfer.rules.url import displayed


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
    shown = msgspec.structs.replace(fetch, proxy=fetch.proxy and displayed(fetch.proxy))
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
