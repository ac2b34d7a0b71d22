"""Members of objects, parameters and header fields: what has a name, a type and a meaning."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spsd.web.docs.types import COMBINED, Document, Node, Pieces, Schema, as_json


@dataclass(frozen=True, slots=True)
class Field:
    """A member, a parameter or a header field; ``place`` is a parameter's ``in``."""

    name: str
    type: Pieces
    required: bool
    description: str
    default: str | None
    place: str


def fields_of(
    document: Document,
    schema: Schema,
    *,
    follow: bool,
    prefix: str = "",
    passed: frozenset[str] = frozenset(),
) -> Iterable[Field]:
    """A row for each member, and after it those of an object inside, as ``outer.inner``.

    ``follow``: through references too, but never twice through one.
    """
    if isinstance(schema, bool):
        return
    if "$ref" in schema:
        reference = schema["$ref"]
        if not follow or reference in passed:
            return
        passed |= {reference}
        schema = document.resolve(schema)
    inside: list[tuple[str, Schema]] = []
    for name, member in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        node: Node = member if isinstance(member, Mapping) else {}
        yield field_of(document, f"{prefix}{name}", {**node, "schema": member}, required=required)
        yield from fields_of(
            document, member, follow=follow, prefix=f"{prefix}{name}.", passed=passed
        )
    for word in COMBINED:
        inside += [(prefix, option) for option in schema.get(word, ())]
    if "items" in schema:
        inside.append((f"{prefix.removesuffix('.')}[].", schema["items"]))
    if "additionalProperties" in schema:
        inside.append((f"{prefix}*.", schema["additionalProperties"]))
    for deeper, option in inside:
        yield from fields_of(document, option, follow=follow, prefix=deeper, passed=passed)


def field_of(
    document: Document, name: str, node: Node, *, required: bool, place: str = ""
) -> Field:
    """``node`` has a description and, under ``schema``, the type."""
    schema: Schema = node.get("schema", True)
    default = schema.get("default") if isinstance(schema, Mapping) else None
    return Field(
        name=name,
        type=document.type_of(schema),
        required=required,
        description=node.get("description", ""),
        default=None if default is None else as_json(default),
        place=place,
    )
