"""Text of strangers, made harmless where a person or a program reads it: terminal, log, JSON lines.

An image, an origin or a client chooses such text. It may move the cursor, reorder a line, end it,
hide a part of it, or be megabytes long. It is stored as it came, and made harmless at output.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable

LINE_BYTES = 8 * 1024
"""Bytes of one text in a line. The journal splits lines of 48 KiB (journald.conf(5), LineMax)."""

_SUSPECT = re.compile(r"[^ -~]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt) of the categories that Python
# takes for printable: combining marks and letters that show nothing.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def visible(text: str) -> str:
    r"""The text with an escape such as ``\x1b`` or ``\u202e`` for each character that is not shown.

    Those are controls, format characters (bidirectional ones, tags, zero width), separators of
    lines and paragraphs, surrogates, private and unassigned code points, and invisible letters and
    marks. Everything else stays, a backslash too, so that a second call changes nothing.
    """
    return text if text.isascii() and text.isprintable() else _SUSPECT.sub(_escaped, text)


def visible_lines(text: str) -> list[str]:
    r"""The lines of the text, which end at ``\n`` alone; in each the rest as by :func:`visible`."""
    return [visible(line) for line in text.split("\n")]


def capped(text: str, limit: int = LINE_BYTES, *, rendered: Callable[[str], str] = visible) -> str:
    """The text, cut so that ``rendered`` makes at most ``limit`` bytes of what is left.

    What follows it then states how many characters were left out. ``rendered`` has to be a function
    of each character.
    """

    def size(count: int) -> int:
        return len(rendered(text[:count]).encode(errors="surrogatepass"))

    # A character has a byte or more, so no prefix beyond `limit` characters has to be rendered.
    if len(text) <= limit and size(len(text)) <= limit:
        return text
    count = bisect_right(range(min(len(text), limit) + 1), limit, key=size) - 1
    return f"{text[:count]}… ({len(text) - count} more characters)"


def harmless(text: str, *, limit: int = LINE_BYTES) -> str:
    """One line for a person: :func:`capped`, then :func:`visible`."""
    return visible(capped(text, limit))


def json_line(document: str) -> str:
    r"""The JSON text on one line for every reader, with the same meaning.

    ``document`` is JSON without white space between its tokens other than spaces. Each character
    that :func:`visible` escapes gets its escape of JSON (RFC 8259, section 7). A lone surrogate,
    which many parsers reject, becomes the text ``\udc80``.
    """
    if document.isascii() and document.isprintable():
        return document
    return _SUSPECT.sub(_json_escaped, document)


def _is_shown(character: str) -> bool:
    # Python does not call spaces other than U+0020 printable; they are harmless in a line.
    shown = character.isprintable() or unicodedata.category(character) == "Zs"
    return shown and character not in _INVISIBLE


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return character if _is_shown(character) else _escape(character)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escaped(match: re.Match[str]) -> str:
    character = match[0]
    if _is_shown(character):
        return character
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        return "\\" + _escape(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in (0, 2))
