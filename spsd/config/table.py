"""The settings as a table for people."""

import json
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from spsd.config.settings import Settings


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
