"""JSON Schema as people read it: ``array of FetchItem``, ``integer, 1 to 99, or null``."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

Node = Mapping[str, Any]
Schema = Node | bool

COMBINED = {"oneOf": " or ", "anyOf": " or ", "allOf": " and "}
_SCHEMAS = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; ``href`` makes it a link, ``code`` a literal."""

    text: str
    href: str | None = None
    code: bool = False


Pieces = tuple[Piece, ...]


class Anchors:
    """Gives each thing on a page an id of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def give(self, kind: str, name: str) -> str:
        """An id that says what it is of, and that nobody else has."""
        words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        wanted = anchor = f"{kind}-{words}"
        number = 1
        while anchor in self._taken:
            number += 1
            anchor = f"{wanted}-{number}"
        self._taken.add(anchor)
        return anchor


class Document:
    """An OpenAPI document, and where on the page its schemas stand.

    References inside it are followed; others are not, so nothing is ever fetched.
    """

    def __init__(self, root: Node) -> None:
        self.root = root
        self.anchors = Anchors()
        self.schemas: Mapping[str, Schema] = root.get("components", {}).get("schemas", {})
        self.schema_anchors = {name: self.anchors.give("schema", name) for name in self.schemas}

    def resolve(self, node: Any) -> Node:  # noqa: ANN401 - whatever a document has at that place
        """What stands where the node points to; empty if that is nowhere, or no object."""
        for _ in range(8):  # a reference to itself leads nowhere
            if not isinstance(node, Mapping):
                return {}
            if "$ref" not in node:
                return node
            node = self._at(node["$ref"])
        return {}

    def _at(self, reference: str) -> object:
        if not reference.startswith("#/"):
            return None
        steps = (
            unquote(step).replace("~1", "/").replace("~0", "~") for step in reference.split("/")
        )
        next(steps)
        node: object = self.root
        for step in steps:
            node = _step(node, step)
        return node

    def type_of(self, schema: Schema) -> Pieces:
        """The type in words, with a link to each schema that is told elsewhere on the page."""
        if isinstance(schema, bool):
            return (Piece("any value" if schema else "no value"),)
        if "$ref" in schema:
            return (self._link(schema["$ref"]),)
        for word, joint in COMBINED.items():
            if word in schema:
                return _joined((self.type_of(option) for option in schema[word]), joint)
        if "const" in schema:
            return (_literal(schema["const"]),)
        if "enum" in schema:
            return _joined(((_literal(value),) for value in schema["enum"]), " or ")
        kind = schema.get("type", _implied(schema))
        if isinstance(kind, str):
            return self._single(kind, schema)
        return _joined((self._single(each, schema) for each in kind), " or ")

    def _single(self, kind: str, schema: Node) -> Pieces:
        values = schema.get("additionalProperties")
        match kind:
            case "array" if "prefixItems" in schema:
                inner = _joined(map(self.type_of, schema["prefixItems"]), ", ")
                name: Pieces = (Piece("array of "), *_grouped(inner))
            case "array" if "items" in schema:
                name = (Piece("array of "), *_grouped(self.type_of(schema["items"])))
            case "object" if isinstance(values, Mapping) and "properties" not in schema:
                name = (Piece("object with values of "), *_grouped(self.type_of(values)))
            case _:
                name = (Piece(kind),)
        return name + tuple(_bounds(kind, schema))

    def _link(self, reference: str) -> Piece:
        name = unquote(reference.removeprefix(_SCHEMAS)).replace("~1", "/").replace("~0", "~")
        if reference.startswith(_SCHEMAS) and name in self.schema_anchors:
            return Piece(name, href=f"#{self.schema_anchors[name]}")
        return Piece(reference.rpartition("/")[2])


def as_json(value: object) -> str:
    """On one line, with every letter as it is."""
    return json.dumps(value, ensure_ascii=False)


def _step(node: object, step: str) -> object:
    if isinstance(node, Mapping):
        return node.get(step)
    if isinstance(node, Sequence) and step.isdecimal() and int(step) < len(node):
        return node[int(step)]
    return None


def _implied(schema: Node) -> str:
    """A schema need not name the type that its other words are about."""
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "any value"


def _literal(value: object) -> Piece:
    return Piece(as_json(value), code=True)


def _joined(parts: Iterable[Pieces], joint: str) -> Pieces:
    parts = list(parts)
    if any("," in piece.text and not piece.code for part in parts for piece in part):
        joint = f", {joint.lstrip(', ')}"
    pieces: list[Piece] = []
    for part in parts:
        pieces += [Piece(joint), *part] if pieces else part
    return tuple(pieces)


def _grouped(pieces: Pieces) -> Pieces:
    """In brackets, if what is inside has several parts."""
    return pieces if len(pieces) == 1 else (Piece("("), *pieces, Piece(")"))


_NUMBER = ("minimum", "maximum", "")
# For each type the words for its least and most, and what they count.
_LIMITS = {
    "integer": _NUMBER,
    "number": _NUMBER,
    "string": ("minLength", "maxLength", " character"),
    "array": ("minItems", "maxItems", " item"),
    "object": ("minProperties", "maxProperties", " member"),
}
_NUMBERS_ALONE = {
    "exclusiveMinimum": "over",
    "exclusiveMaximum": "below",
    "multipleOf": "a multiple of",
}


def _bounds(kind: str, schema: Node) -> Iterable[Piece]:
    """Only those that are about values of this type: a schema may allow several."""
    if kind not in _LIMITS:
        return
    least, most, unit = _LIMITS[kind]
    if "format" in schema:
        yield Piece(f" ({schema['format']})")
    if text := _range(schema.get(least), schema.get(most)):
        plural = "" if not unit or text.endswith(" 1") else "s"
        yield Piece(f", {text}{unit}{plural}")
    if kind in ("integer", "number"):
        given = ((text, schema[word]) for word, text in _NUMBERS_ALONE.items() if word in schema)
        yield from (Piece(f", {text} {as_json(value)}") for text, value in given)
    if kind == "array" and schema.get("uniqueItems") is True:
        yield Piece(", all different")
    if kind == "string" and "pattern" in schema:
        yield from (Piece(" that matches "), Piece(schema["pattern"], code=True))


def _range(least: object, most: object) -> str:
    if least is None and most is None:
        return ""
    if least is None:
        return f"at most {as_json(most)}"
    if most is None:
        return f"at least {as_json(least)}"
    if least == most:
        return f"exactly {as_json(least)}"
    return f"{as_json(least)} to {as_json(most)}"
