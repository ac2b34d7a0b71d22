"""How this machine gets its packages, for a root that is to get them in the same way.

Nothing here names a machine: what is set is read and handed on.
"""

import configparser
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that say where packages come from and whom to trust for it."""
    return {
        name: value
        for name, value in environment.items()
        if (name.startswith("PIP_") and name != "PIP_CONFIG_FILE")
        or name.lower().endswith("_proxy")
        or name == "SSL_CERT_FILE"
    }


def pip_files(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Where pip would look for its settings, those that win last."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    dirs = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        *(Path(one) / "pip" / "pip.conf" for one in reversed(dirs.split(":"))),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        own / "pip" / "pip.conf",
        *([Path(named)] if named else []),
    ]


def pip_settings(files: Sequence[Path]) -> configparser.RawConfigParser:
    """What these files say together; a file that is not there says nothing."""
    merged = configparser.RawConfigParser()
    merged.read(files, encoding="utf-8")
    return merged


def local_paths(values: Sequence[str]) -> list[Path]:
    """The files and directories of this machine that settings name, if they are there.

    Of an index in files its parent directory: the pages of ``…/simple`` link to what is beside it.
    """
    found = dict.fromkeys(path for value in values for path in _paths(value) if path.exists())
    return list(found)


def _paths(value: str) -> Iterator[Path]:
    for word in value.split():
        url = urlsplit(word)
        path = Path(unquote(url.path)) if url.scheme in ("", "file") else Path()
        if not path.is_absolute() or path == Path(os.devnull):
            continue
        beside = path.parent
        yield beside if path.name == "simple" and beside != beside.parent else path


def apt_options() -> list[str]:
    """This machine's apt settings that decide whether a download works: proxies, dates."""
    told = _output("apt-config", "dump", "--no-empty")
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-")
    return [line.rstrip(";") for line in told.splitlines() if line.startswith(wanted)]


def sources(suite: str) -> list[str]:
    """Lines of sources.list from this machine's own mirror; none if it has no mirror of Debian."""
    told = _output(
        "apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"
    )
    mirrors: dict[str, str] = {}
    for line in told.splitlines():
        label, _, url = line.partition(" ")
        if url.startswith(("http://", "https://")):  # a disc has one suite
            mirrors.setdefault(label, url)
    if "Debian" not in mirrors:
        return []
    lines = [f"deb {mirrors['Debian']} {one} main" for one in (suite, f"{suite}-updates")]
    if "Debian-Security" in mirrors:
        lines.append(f"deb {mirrors['Debian-Security']} {suite}-security main")
    return lines


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
