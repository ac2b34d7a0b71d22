"""An example call of an operation, as a command for a shell."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

from spsd.web.docs.types import COMBINED, Document, Node, Schema, as_json

JAR = "session.txt"
WIDTH = 80
_ANYWHERE = "https://HOST:8443"


def curl_line(
    document: Document,
    *,
    method: str,
    path: str,
    parameters: Sequence[Node],
    body: Node,
    schemes: Iterable[Node],
) -> str:
    """What to type; words in capitals are for the reader to replace.

    ``body`` is the operation's request body and ``schemes`` are those that open it, all resolved.
    """
    words = ["curl"]
    for scheme in schemes:
        words += _credentials(scheme)
    words += {"GET": [], "HEAD": ["--head"]}.get(method, ["--request", method])
    words += _sent(document, body.get("content", {}))
    words.append(_server(document) + _filled(path, parameters))
    return _laid_out(words)


def _laid_out(words: list[str]) -> str:
    """One line if it is short, else one for each option and its value."""
    line = shlex.join(words)
    if len(line) <= WIDTH:
        return line
    groups: list[list[str]] = []
    for word in words:
        if not groups or word.startswith("--") or word == words[-1]:
            groups.append([])
        groups[-1].append(word)
    return " \\\n  ".join(shlex.join(group) for group in groups)


def _credentials(scheme: Node) -> list[str]:
    match scheme:
        case {"type": "http", "scheme": "basic"}:
            return ["--user", "NAME", "--cookie-jar", JAR]
        case {"type": "apiKey", "in": "cookie"}:
            return ["--cookie", JAR]
        case {"type": "apiKey", "in": "header", "name": str(name)}:
            return ["--header", f"{name}: KEY"]
        case {"type": "http", "scheme": "bearer"}:
            return ["--header", "Authorization: Bearer TOKEN"]
        case _:
            return []


def _sent(document: Document, content: Mapping[str, Node]) -> list[str]:
    """The first media type is the one that the document recommends."""
    for media_type, media in content.items():
        header = ["--header", f"Content-Type: {media_type}"]
        if media_type == "multipart/form-data":
            names = document.resolve(media.get("schema", {})).get("properties", {"file": {}})
            return [word for name in names for word in ("--form", f"{name}=@FILE")]
        if media_type == "application/json" or media_type.endswith("+json"):
            return [*header, "--data", as_json(_example(document, media))]
        return [*header, "--upload-file", "FILE"]
    return []


def _server(document: Document) -> str:
    servers = document.root.get("servers") or [{}]
    url = str(servers[0].get("url", "")).rstrip("/")
    return url if "://" in url else _ANYWHERE + url


def _filled(path: str, parameters: Sequence[Node]) -> str:
    asked = []
    for parameter in parameters:
        name = str(parameter.get("name"))
        given = _given(parameter)
        value = name.upper() if given is None else str(given[0])
        if parameter.get("in") == "path":
            path = path.replace(f"{{{name}}}", value)
        elif parameter.get("in") == "query" and parameter.get("required") is True:
            asked.append(f"{name}={value}")
    return "?".join([path, "&".join(asked)]) if asked else path


def _example(document: Document, media: Node) -> object:
    given = _given(media)
    return _sample(document, media.get("schema", True), depth=6) if given is None else given[0]


def _given(node: Node) -> tuple[object] | None:
    """The example that the document has, in a tuple since it may be null."""
    if "example" in node:
        return (node["example"],)
    match node.get("examples"):
        case [first, *_]:
            return (first,)
        case {**named} if named:
            first = next(iter(named.values()))
            return (first["value"],) if isinstance(first, Mapping) and "value" in first else None
        case _:
            return None


def _sample(document: Document, schema: Schema, *, depth: int) -> object:
    """A value of the right shape; ``depth`` ends what contains itself."""
    node = document.resolve(schema)
    if (given := _given(node)) is not None:
        return given[0]
    for word in ("const", "default"):
        if word in node:
            return node[word]
    options = next((node[word] for word in ("enum", *COMBINED) if node.get(word)), None)
    if options is not None:
        return options[0] if "enum" in node else _sample(document, options[0], depth=depth - 1)
    kind = node.get("type", "object" if "properties" in node else "string")
    kind = kind if isinstance(kind, str) else kind[0]
    match kind:
        case "object" if depth > 0:
            members = node.get("properties", {}).items()
            return {name: _sample(document, member, depth=depth - 1) for name, member in members}
        case "array" if depth > 0:
            return [_sample(document, node.get("items", True), depth=depth - 1)]
        case _:
            return _PLAIN.get(kind)


_PLAIN = {"string": "TEXT", "integer": 1, "number": 1.0, "boolean": True, "object": {}, "array": []}
