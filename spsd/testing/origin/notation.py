"""The text form of acts: `cut-after:1000`, `status:503:2`, `redirect:http://a.test/b`."""

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Final, get_type_hints
from urllib.parse import quote_from_bytes, unquote_to_bytes

from spsd.testing.origin.acts import ACTS, Act

RULES: Final = """\
An act is NAME[:ARGUMENT...]. Arguments go in order or as name=value. An argument that is text
(a location, a page, a Retry-After date) takes the rest with its colons, so it must be the
last: redirect:http://h:80/x, redirect:code=307:http://h:80/x. Bytes are percent-decoded:
status:503:2:try%20later. A switch is true or false: cut-after:1000:true."""

_TEXTUAL: Final = (str, int | str | None)


def parse_act(text: str) -> Act:
    """Return the act that the text names; `RULES` describes the form.

    Raises:
        ValueError: There is no such act, or the arguments do not fit it.
    """
    name, colon, rest = text.partition(":")
    kind = _BY_NAME.get(name)
    if kind is None:
        raise ValueError(f"unknown act {name!r}")
    hints = get_type_hints(kind)
    given: dict[str, object] = {}
    while colon:
        field, rest = _addressed(hints, given, rest)
        if field is None:
            raise ValueError(f"{name} takes no further argument: {rest!r}")
        word, colon, after = rest.partition(":")
        if hints[field] in _TEXTUAL and not (hints[field] is not str and word.isdecimal()):
            word, colon = rest, ""
        given[field] = _value(hints[field], word)
        rest = after
    make: Callable[..., Act] = kind
    try:
        return make(**given)
    except TypeError as error:
        raise ValueError(f"{usage(kind)} needs its arguments") from error


def format_act(act: Act) -> str:
    """Return a text that `parse_act` turns into an equal act."""
    hints = get_type_hints(type(act))
    words: list[str] = []
    last: list[str] = []
    for field in fields(act):
        value: object = getattr(act, field.name)
        if value == field.default:
            continue
        word = _word(value)
        # Text that begins like a named argument needs its own name in front.
        clash = isinstance(value, str) and _kebab(value.partition("=")[0]) in map(_kebab, hints)
        if clash or _is_optional(field):
            word = f"{_kebab(field.name)}={word}"
        (last if isinstance(value, str) else words).append(word)
    return ":".join([_name(type(act)), *words, *last])


def usage(kind: type[Act]) -> str:
    """Return the text form of this act with placeholders as arguments; optional ones in []."""
    text = _name(kind)
    for field in fields(kind):
        placeholder = f":{_kebab(field.name).upper()}"
        text += f"[{placeholder}]" if _is_optional(field) else placeholder
    return text


def glossary() -> str:
    """Return one line per act: its text form and what it does."""
    return "\n".join(f"  {usage(kind):<42}  {kind.__doc__}" for kind in ACTS)


def _addressed(
    hints: dict[str, object], given: dict[str, object], rest: str
) -> tuple[str | None, str]:
    """Return the next argument's field and the text without its name; None if none is left."""
    named = re.match(r"([a-z][a-z_-]*)=", rest)
    if named is not None and (field := named[1].replace("-", "_")) in hints:
        return field, rest[named.end() :]
    return next((field for field in hints if field not in given), None), rest


def _value(hint: object, word: str) -> object:
    if hint is bool:
        if word not in ("true", "false"):
            raise ValueError(f"neither true nor false: {word!r}")
        return word == "true"
    if hint is bytes:
        return unquote_to_bytes(word)
    if hint is float:
        return float(word)
    if hint is int or (hint is not str and word.isdecimal()):
        return int(word)
    return word


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return quote_from_bytes(value, safe="")
    return str(value)


def _is_optional(field: Field[object]) -> bool:
    return field.default is not MISSING


def _kebab(text: str) -> str:
    return text.replace("_", "-")


def _name(kind: type[Act]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


_BY_NAME: Final[dict[str, type[Act]]] = {_name(kind): kind for kind in ACTS}
