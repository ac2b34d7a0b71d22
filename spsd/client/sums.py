"""Digests out of the files that ``sha256sum`` writes."""

import re
from posixpath import basename
from urllib.parse import unquote, urlsplit

from spsd.client.exits import Exit
from spsd.client.failures import CommandError

# A backslash before the line: the name has escapes (coreutils' manual, md5sum invocation).
_LINE = re.compile(r"(\\?)([0-9A-Fa-f]{64}) [ *](.+)")
_TAGGED = re.compile(r"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


def digest_for(url: str, sums: str) -> str:
    """The SHA-256 of the file that the URL names, in lower case.

    A file with one line, or with a bare digest, is taken whatever name it has.

    Raises:
        CommandError: it names the file nowhere, or twice with different digests.
    """
    if re.fullmatch(r"\s*[0-9A-Fa-f]{64}\s*", sums):
        return sums.strip().lower()
    lines = [found for line in sums.splitlines() if (found := _read(line)) is not None]
    name = unquote(basename(urlsplit(url).path))
    digests = {digest for listed, digest in lines if basename(listed) == name}
    if not digests and len(lines) == 1:
        digests = {lines[0][1]}
    if len(digests) == 1:
        return digests.pop()
    why = "names it with several digests" if digests else f"has {len(lines)} lines, none of it"
    raise CommandError(f"no digest for {name!r}: the file of checksums {why}", Exit.USAGE)


def _read(line: str) -> tuple[str, str] | None:
    if (found := _LINE.fullmatch(line)) is not None:
        escaped, digest, name = found.groups()
    elif (found := _TAGGED.fullmatch(line)) is not None:
        escaped, name, digest = found.groups()
    else:
        return None
    if escaped:
        name = re.sub(r"\\[\\nr]", lambda one: _ESCAPES[one[0]], name)
    return name, digest.lower()
