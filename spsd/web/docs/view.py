"""What the page of the API shows: an OpenAPI document, sorted for a reader."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from spsd.web.docs.curl import curl_line
from spsd.web.docs.fields import Field, field_of, fields_of
from spsd.web.docs.types import Document, Node, Pieces, Schema, as_json

METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
_UNTAGGED = "Other"


@dataclass(frozen=True, slots=True)
class Content:
    """A body of one media type; ``fields`` are those that no schema of its own tells of."""

    media_type: str
    type: Pieces
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries."""

    required: bool
    description: str
    contents: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class Response:
    """What comes back under one status."""

    status: str
    phrase: str
    description: str
    headers: tuple[Field, ...]
    contents: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    deprecated: bool
    access: str
    parameters: tuple[Field, ...]
    body: Body | None
    responses: tuple[Response, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Group:
    """The operations under a tag."""

    anchor: str
    name: str
    description: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class NamedSchema:
    """A component with its fields; ``type`` says what it is where it has none."""

    anchor: str
    name: str
    type: Pieces
    description: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to say who is asking."""

    name: str
    how: str
    description: str


@dataclass(frozen=True, slots=True)
class View:
    """The whole page."""

    title: str
    version: str
    description: str
    schemes: tuple[Scheme, ...]
    headers: tuple[Field, ...]
    groups: tuple[Group, ...]
    schemas: tuple[NamedSchema, ...]


def view_of(root: Node) -> View:
    """Everything that the page shows, in its order."""
    document = Document(root)
    info = root.get("info", {})
    schemes = root.get("components", {}).get("securitySchemes", {})
    groups = tuple(_groups(document))
    headers = _everywhere(groups)
    return View(
        title=info.get("title", "API"),
        version=info.get("version", ""),
        description=info.get("description", ""),
        schemes=tuple(_scheme(name, document.resolve(node)) for name, node in schemes.items()),
        headers=headers,
        groups=tuple(_without(group, headers) for group in groups),
        schemas=tuple(_named(document, name, node) for name, node in document.schemas.items()),
    )


def _everywhere(groups: Iterable[Group]) -> tuple[Field, ...]:
    """The header fields that every response has: they are told once."""
    responses = [each for group in groups for one in group.operations for each in one.responses]
    if len(responses) < 2:
        return ()
    first, *others = responses
    return tuple(field for field in first.headers if all(field in each.headers for each in others))


def _without(group: Group, headers: tuple[Field, ...]) -> Group:
    def less(response: Response) -> Response:
        rest = tuple(field for field in response.headers if field not in headers)
        return replace(response, headers=rest)

    operations = (
        replace(one, responses=tuple(less(each) for each in one.responses))
        for one in group.operations
    )
    return replace(group, operations=tuple(operations))


def _groups(document: Document) -> Iterable[Group]:
    """Tags in the document's order, then those that it does not introduce."""
    told = {tag["name"]: tag.get("description", "") for tag in document.root.get("tags", ())}
    by_tag: dict[str, list[Operation]] = {name: [] for name in told}
    for path, node in document.root.get("paths", {}).items():
        item = document.resolve(node)
        for method in METHODS:
            if method in item:
                # Under its first tag only: an operation has one place on the page.
                tag = next(iter(item[method].get("tags", ())), _UNTAGGED)
                by_tag.setdefault(tag, []).append(_operation(document, path, method, item))
    for tag, operations in by_tag.items():
        if operations:
            anchor = document.anchors.give("tag", tag)
            yield Group(anchor, tag, told.get(tag, ""), tuple(operations))


def _operation(document: Document, path: str, method: str, item: Node) -> Operation:
    node = item[method]
    parameters = _parameters(document, [*item.get("parameters", ()), *node.get("parameters", ())])
    body = document.resolve(node.get("requestBody", {}))
    requirements = node.get("security", document.root.get("security", ()))
    return Operation(
        anchor=document.anchors.give("operation", f"{method} {path}"),
        method=method.upper(),
        path=path,
        summary=node.get("summary", ""),
        description=node.get("description", ""),
        deprecated=node.get("deprecated") is True,
        access=_access(document, node.get("x-spsd-access"), requirements),
        parameters=tuple(
            field_of(document, p["name"], p, required=p.get("required") is True, place=p["in"])
            for p in parameters
        ),
        body=_body(document, body) if body else None,
        responses=tuple(
            _response(document, status, document.resolve(response))
            for status, response in node.get("responses", {}).items()
        ),
        example=curl_line(
            document,
            method=method.upper(),
            path=path,
            parameters=parameters,
            body=body,
            # Each requirement is enough; the first is the usual one.
            schemes=[_scheme_named(document, name) for name in next(iter(requirements), {})],
        ),
    )


def _parameters(document: Document, nodes: Iterable[Node]) -> list[Node]:
    """An operation's own parameter replaces that of its path."""
    named = {(p["name"], p["in"]): p for node in nodes if (p := document.resolve(node))}
    return list(named.values())


def _access(document: Document, said: object, requirements: Iterable[Node]) -> str:
    if said:
        return said if isinstance(said, str) else as_json(said)
    ways = [
        " and ".join(_how(_scheme_named(document, name)) or name for name in requirement)
        for requirement in requirements
    ]
    return " or ".join(way or "anyone" for way in ways) or "anyone"


def _scheme_named(document: Document, name: str) -> Node:
    schemes = document.root.get("components", {}).get("securitySchemes", {})
    return document.resolve(schemes.get(name, {}))


def _scheme(name: str, node: Node) -> Scheme:
    return Scheme(name, _how(node), node.get("description", ""))


def _how(scheme: Node) -> str:
    match scheme:
        case {"type": "http", "scheme": str(name)}:
            return f"HTTP {name.capitalize()}"
        case {"type": "apiKey", "in": str(place), "name": str(name)}:
            return f"{place} `{name}`"
        case _:
            return str(scheme.get("type", ""))


def _body(document: Document, node: Node) -> Body:
    return Body(
        required=node.get("required") is True,
        description=node.get("description", ""),
        contents=_contents(document, node, told_elsewhere=False),
    )


def _response(document: Document, status: str, node: Node) -> Response:
    headers = ((name, document.resolve(each)) for name, each in node.get("headers", {}).items())
    return Response(
        status=status,
        phrase=_phrase(status),
        description=node.get("description", ""),
        headers=tuple(
            field_of(document, name, each, required=each.get("required") is True)
            for name, each in headers
        ),
        contents=_contents(document, node, told_elsewhere=True),
    )


def _phrase(status: str) -> str:
    try:
        return HTTPStatus(int(status)).phrase
    except ValueError:
        return ""


def _contents(document: Document, node: Node, *, told_elsewhere: bool) -> tuple[Content, ...]:
    """``told_elsewhere``: a link to a schema will do; else its fields are told here too."""
    return tuple(
        Content(
            media_type,
            document.type_of(schema),
            tuple(fields_of(document, schema, follow=not told_elsewhere)),
        )
        for media_type, media in node.get("content", {}).items()
        for schema in [media.get("schema", True)]
    )


def _named(document: Document, name: str, schema: Schema) -> NamedSchema:
    description = schema.get("description", "") if isinstance(schema, Mapping) else ""
    return NamedSchema(
        anchor=document.schema_anchors[name],
        name=name,
        type=document.type_of(schema),
        description=description,
        fields=tuple(fields_of(document, schema, follow=False)),
    )
