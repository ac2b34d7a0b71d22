"""Checks of a server's responses; whatever a response holds, a check returns or raises Broken.

Each check takes the part of the response, and for the evidence the name of that part (``what``).
Those that return a value return the part with its checked type.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from spsd.testing.client import Answer

_LENGTH_LIMIT = 160


class Broken(Exception):  # noqa: N818 - the name is the verdict
    """A fact does not hold; the text is the evidence."""


class NotTried(Exception):  # noqa: N818 - the name is the verdict
    """A fact could not be tried; the text says why."""


def brief(value: object) -> str:
    """The value as JSON in one line, shortened to 160 characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split()) if text.strip() else repr(text)
    return text if len(text) <= _LENGTH_LIMIT else text[: _LENGTH_LIMIT - 1] + "…"


def content(answer: Answer) -> str:
    """Status and body of a response in one line, for evidence."""
    return f"{answer.status} {brief(answer.content.decode('utf-8', 'replace'))}"


def status(answer: Answer, *expected: int) -> None:
    """The response has one of these statuses."""
    if answer.status not in expected:
        raise Broken(f"expected {' or '.join(map(str, expected))}, got {content(answer)}")


def success(answer: Answer) -> None:
    """The response has a 2xx status."""
    if not 200 <= answer.status < 300:
        raise Broken(f"expected a success, got {content(answer)}")


def refused(answer: Answer) -> None:
    """The response has a 4xx status and an ``error.type``."""
    if not 400 <= answer.status < 500:
        raise Broken(f"expected a refusal (4xx), got {content(answer)}")
    error_type(answer)


def document(answer: Answer) -> dict[str, Any]:
    """The body is a JSON object."""
    try:
        value = answer.document
    except (ValueError, RecursionError):
        raise Broken(f"expected JSON, got {content(answer)}") from None
    return mapping(value, "the answer")


def mapping(value: object, what: str) -> dict[str, Any]:
    """The value is a JSON object."""
    if not isinstance(value, dict):
        raise Broken(f"{what} is no object: {brief(value)}")
    return value


def array(value: object, what: str) -> list[Any]:
    """The value is a JSON array."""
    if not isinstance(value, list):
        raise Broken(f"{what} is no array: {brief(value)}")
    return value


def string(value: object, what: str) -> str:
    """The value is a JSON string."""
    if not isinstance(value, str):
        raise Broken(f"{what} is no string: {brief(value)}")
    return value


def integer(value: object, what: str) -> int:
    """The value is a JSON number without a fraction."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Broken(f"{what} is no whole number: {brief(value)}")
    return value


def member(value: object, path: str) -> Any:  # noqa: ANN401 - JSON has no better type
    """The value has a member at a path such as ``meta.href``, which is returned."""
    current = value
    for name in path.split("."):
        if not isinstance(current, dict) or name not in current:
            raise Broken(f"there is no {path} in {brief(value)}")
        current = current[name]
    return current


def equal(actual: object, expected: object, what: str) -> None:
    """Both are the same JSON value; ``true`` is not 1."""
    if type(actual) is not type(expected) or actual != expected:
        raise Broken(f"{what}: expected {brief(expected)}, got {brief(actual)}")


def member_is(value: object, path: str, expected: object) -> None:
    """The member at the path is equal to this value."""
    equal(member(value, path), expected, path)


def only_members(value: object, names: Collection[str], what: str) -> None:
    """The object has these members and no others."""
    actual = set(mapping(value, what))
    if actual != set(names):
        missing, extra = sorted(set(names) - actual), sorted(actual - set(names))
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has {', '.join(extra)} besides"] if extra else []
        raise Broken(f"{what} {' and '.join(parts)}")


def has_members(value: object, names: Iterable[str], what: str) -> None:
    """The object has at least these members."""
    members = mapping(value, what)
    missing = [name for name in names if name not in members]
    if missing:
        raise Broken(f"{what} lacks {', '.join(missing)}")


def has_no_members(value: object, names: Iterable[str], what: str) -> None:
    """The object has none of these members."""
    extra = [name for name in names if name in mapping(value, what)]
    if extra:
        raise Broken(f"{what} has {', '.join(extra)}")


def error_type(answer: Answer) -> str:
    """The response has an ``error.type``, which is returned."""
    return string(member(document(answer), "error.type"), "error.type")


def error_is(answer: Answer, expected: str) -> None:
    """The response has a status of 400 or more and this ``error.type``."""
    if answer.status < 400:
        raise Broken(f"expected {expected}, got {content(answer)}")
    equal(error_type(answer), expected, "error.type")


def strings(value: object) -> list[str]:
    """All strings inside a JSON value; the names of members are not included."""
    result: list[str] = []
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            result.append(part)
        elif isinstance(part, Mapping):
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return result
