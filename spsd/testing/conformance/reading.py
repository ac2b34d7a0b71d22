"""Judge what a server answered; whatever it is, the outcome is a value or Broken."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from spsd.testing.client import Answer

_SHOWN = 160


class Broken(Exception):  # noqa: N818 - the name is the verdict
    """A fact does not hold; the text is the evidence."""


class NotTried(Exception):  # noqa: N818 - the name is the verdict
    """A fact could not be tried; the text says why."""


def shown(value: object) -> str:
    """The value as JSON in one line, cut where it gets long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split()) if text.strip() else repr(text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def content(answer: Answer) -> str:
    """Status and body of an answer, for evidence."""
    return f"{answer.status} {shown(answer.content.decode('utf-8', 'replace'))}"


def status(answer: Answer, *wanted: int) -> None:
    """The answer has one of these statuses."""
    if answer.status not in wanted:
        raise Broken(f"expected {' or '.join(map(str, wanted))}, got {content(answer)}")


def succeeded(answer: Answer) -> None:
    """The answer is a success of whatever kind."""
    if not 200 <= answer.status < 300:
        raise Broken(f"expected a success, got {content(answer)}")


def refused(answer: Answer) -> None:
    """The client is told that it is at fault, and of what kind the fault is."""
    if not 400 <= answer.status < 500:
        raise Broken(f"expected a refusal (4xx), got {content(answer)}")
    error_type(answer)


def document(answer: Answer) -> dict[str, Any]:
    """The JSON object that the answer is."""
    try:
        value = answer.document
    except (ValueError, RecursionError):
        raise Broken(f"expected JSON, got {content(answer)}") from None
    return mapping(value, "the answer")


def mapping(value: object, what: str) -> dict[str, Any]:
    """``value``, if it is a JSON object."""
    if not isinstance(value, dict):
        raise Broken(f"{what} is no object: {shown(value)}")
    return value


def array(value: object, what: str) -> list[Any]:
    """``value``, if it is a JSON array."""
    if not isinstance(value, list):
        raise Broken(f"{what} is no array: {shown(value)}")
    return value


def text(value: object, what: str) -> str:
    """``value``, if it is a string."""
    if not isinstance(value, str):
        raise Broken(f"{what} is no string: {shown(value)}")
    return value


def whole(value: object, what: str) -> int:
    """``value``, if it is a whole JSON number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Broken(f"{what} is no whole number: {shown(value)}")
    return value


def at(value: object, path: str) -> Any:  # noqa: ANN401 - JSON has no better type
    """The member at a path such as ``meta.href``."""
    found = value
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            raise Broken(f"there is no {path} in {shown(value)}")
        found = found[name]
    return found


def equal(found: object, wanted: object, what: str) -> None:
    """Both are the same JSON; true is not 1."""
    if type(found) is not type(wanted) or found != wanted:
        raise Broken(f"{what}: expected {shown(wanted)}, got {shown(found)}")


def is_at(value: object, path: str, wanted: object) -> None:
    """The member at the path is this."""
    equal(at(value, path), wanted, path)


def exactly(value: object, names: Collection[str], what: str) -> None:
    """The object has these members and no others."""
    found = set(mapping(value, what))
    if found != set(names):
        lacking, spare = sorted(set(names) - found), sorted(found - set(names))
        parts = [f"lacks {', '.join(lacking)}"] if lacking else []
        parts += [f"has {', '.join(spare)} besides"] if spare else []
        raise Broken(f"{what} {' and '.join(parts)}")


def having(value: object, names: Iterable[str], what: str) -> dict[str, Any]:
    """The object has these members at least."""
    found = mapping(value, what)
    lacking = [name for name in names if name not in found]
    if lacking:
        raise Broken(f"{what} lacks {', '.join(lacking)}")
    return found


def without(value: object, names: Iterable[str], what: str) -> None:
    """The object has none of these members."""
    spare = [name for name in names if name in mapping(value, what)]
    if spare:
        raise Broken(f"{what} has {', '.join(spare)}")


def error_type(answer: Answer) -> str:
    """``error.type`` of a refusal."""
    return text(at(document(answer), "error.type"), "error.type")


def is_error(answer: Answer, kind: str) -> None:
    """A refusal with this ``error.type``."""
    if answer.status < 400:
        raise Broken(f"expected {kind}, got {content(answer)}")
    equal(error_type(answer), kind, "error.type")


def strings(value: object) -> list[str]:
    """Every string inside a JSON value."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return found
