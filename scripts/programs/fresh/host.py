"""The settings with which this machine gets its packages, for a root that uses the same ones.

No machine is named here: the present settings are read and passed on.
"""

import configparser
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def package_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that set package indexes, proxies and trusted certificates."""
    return {
        name: value
        for name, value in environment.items()
        if (name.startswith("PIP_") and name != "PIP_CONFIG_FILE")
        or name.lower().endswith("_proxy")
        or name == "SSL_CERT_FILE"
    }


def pip_files(environment: Mapping[str, str], home: Path) -> list[Path]:
    """The configuration files of pip, the one with the highest priority last."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    dirs = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        *(Path(directory) / "pip" / "pip.conf" for directory in reversed(dirs.split(":"))),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        own / "pip" / "pip.conf",
        *([Path(named)] if named else []),
    ]


def pip_settings(files: Sequence[Path]) -> configparser.RawConfigParser:
    """The merged settings of these files; files that do not exist are skipped."""
    merged = configparser.RawConfigParser()
    merged.read(files, encoding="utf-8")
    return merged


def local_paths(values: Sequence[str]) -> list[Path]:
    """The existing files and directories of this machine that are named in settings.

    For a local package index it is the parent directory: the pages of ``…/simple`` link to files
    beside it.
    """
    return list(dict.fromkeys(path for value in values for path in _paths(value) if path.exists()))


def _paths(value: str) -> Iterator[Path]:
    for word in value.split():
        url = urlsplit(word)
        path = Path(unquote(url.path)) if url.scheme in ("", "file") else Path()
        if not path.is_absolute() or path == Path(os.devnull):
            continue
        parent = path.parent
        yield parent if path.name == "simple" and parent != parent.parent else path


def apt_options() -> list[str]:
    """The settings of apt on this machine that downloads depend on: proxies and date checks."""
    settings = _output("apt-config", "dump", "--no-empty")
    names = ("Acquire::http::", "Acquire::https::", "Acquire::Check-")
    return [line.rstrip(";") for line in settings.splitlines() if line.startswith(names)]


def sources(suite: str) -> list[str]:
    """Lines of sources.list with this machine's mirror; none if it has no mirror of Debian."""
    targets = _output(
        "apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"
    )
    mirrors: dict[str, str] = {}
    for line in targets.splitlines():
        label, _, url = line.partition(" ")
        if url.startswith(("http://", "https://")):  # an installation disc has only one suite
            mirrors.setdefault(label, url)
    if "Debian" not in mirrors:
        return []
    lines = [f"deb {mirrors['Debian']} {name} main" for name in (suite, f"{suite}-updates")]
    if "Debian-Security" in mirrors:
        lines.append(f"deb {mirrors['Debian-Security']} {suite}-security main")
    return lines


def _output(*command: str) -> str:
    """The output of a command; empty if it is not installed."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
