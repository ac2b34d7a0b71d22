"""The page of the API: read as a browser and a screen reader do."""

import copy
import itertools
import re
import shlex
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from spsd.web.docs.page import page, paragraphs, style, with_code
from spsd.web.docs.types import Document
from spsd.web.docs.view import view_of
from spsd.web.links import STYLE
from tests.web.openapi_sample import DOCUMENT

HOSTILE = """<script>alert("x")</script><img src=x onerror='y'>&amp;"'{{ 7 * 7 }}"""
VOID = {"meta", "link", "br"}
KEY = "6d0b4c0e-8f0e-4c4b-9d6a-3a1f0e5b7c21"
POST = "curl --cookie session.txt --request POST"


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list["Element"] = field(default_factory=list)

    def all(self, name):
        for element in self.inside:
            if element.name == name:
                yield element
            yield from element.all(name)

    def words(self):
        return " ".join(self.text.split())


class Tree(HTMLParser):
    """Strict: what is opened is closed, in order."""

    def __init__(self, html):
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]
        self.feed(html)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, name, attributes):
        assert len(dict(attributes)) == len(attributes), (name, attributes)
        element = Element(name, dict(attributes))
        self.open[-1].inside.append(element)
        if name not in VOID:
            self.open.append(element)

    def handle_endtag(self, name):
        assert self.open.pop().name == name

    def handle_data(self, data):
        for element in self.open:
            element.text += data


def everything(element):
    for child in element.inside:
        yield child
        yield from everything(child)


def poisoned(node, *, key=None):
    """The document with every text for people replaced."""
    if isinstance(node, dict):
        return {name: poisoned(value, key=name) for name, value in node.items()}
    if isinstance(node, list):
        return [poisoned(value) for value in node]
    people = ("title", "version", "description", "summary", "x-spsd-access", "format", "pattern")
    return HOSTILE if key in people and isinstance(node, str) else node


def hostile():
    document = poisoned(DOCUMENT)
    schemas = document["components"]["schemas"]
    schemas[HOSTILE] = {"properties": {HOSTILE: {"const": HOSTILE, "default": HOSTILE}}}
    document["paths"][f"/{HOSTILE}"] = {
        "get": {
            "tags": [HOSTILE],
            "parameters": [{"name": HOSTILE, "in": HOSTILE, "example": HOSTILE}],
            "security": [{HOSTILE: []}],
            "responses": {HOSTILE: {"headers": {HOSTILE: {}}, "content": {HOSTILE: {}}}},
        }
    }
    document["servers"] = [{"url": f"https://{HOSTILE}"}]
    return document


def documents():
    twins = copy.deepcopy(DOCUMENT)
    for name in ("/a/{b}", "/a/b", "/A-b", "/a/b/2"):
        twins["paths"][name] = {"get": {"tags": ["a b", "a-b"], "responses": {}}}
    twins["paths"]["/c"] = {"get": {"tags": ["a-b"]}}
    twins["components"]["schemas"] |= {"a.b": {}, "a_b": True, "*": {"$ref": "#/nowhere"}}
    return {"sample": DOCUMENT, "hostile": hostile(), "twins": twins, "nothing": {}}


@pytest.fixture(scope="module", params=documents().items(), ids=documents())
def html(request):
    return page(request.param[1], stylesheet=STYLE, source="/api/openapi.json")


@pytest.fixture
def tree(html):
    return Tree(html).root


@pytest.fixture(scope="module")
def sample():
    return Tree(page(DOCUMENT, stylesheet=STYLE)).root


def test_ids_are_unique_and_every_inner_link_and_label_has_its_target(tree):
    ids = [e.attributes["id"] for e in everything(tree) if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", each) for each in ids)
    links = [link.attributes["href"] for link in tree.all("a")]
    outward = [link for link in links if not link.startswith("#")]
    assert outward == ["/api/openapi.json"]
    assert {link[1:] for link in links if link not in outward} <= set(ids)
    labels = {e.attributes["aria-labelledby"] for e in everything(tree) if e.name in LABELLED}
    assert labels <= set(ids)


LABELLED = ("nav", "section", "article")


def test_headings_skip_no_level_and_none_is_empty(tree):
    headings = [e for e in everything(tree) if re.fullmatch(r"h[1-6]", e.name)]
    levels = [int(e.name[1]) for e in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(e.words() for e in headings)


def test_the_content_security_policy_has_nothing_to_refuse(tree):
    elements = list(everything(tree))
    assert {e.name for e in elements}.isdisjoint(
        {"script", "style", "img", "iframe", "object", "base", "form", "svg", "font"}
    )
    for element in elements:
        assert not any(a == "style" or a.startswith("on") for a in element.attributes)
        assert not {"src", "srcset", "action"} & element.attributes.keys()
    (link,) = tree.all("link")
    assert link.attributes == {"rel": "stylesheet", "href": "/api/docs.css"}


def test_tables_have_captions_scopes_and_a_cell_for_each_column(tree):
    for table in tree.all("table"):
        (caption,) = table.all("caption")
        assert caption.words()
        columns = [th.words() for th in next(table.all("thead")).all("th")]
        for row in next(table.all("tbody")).all("tr"):
            (head,) = row.all("th")
            assert head.attributes["scope"] == "row"
            labels = [cell.attributes["data-label"] for cell in row.all("td")]
            assert labels == columns[1:]
        assert all("scope" in th.attributes for th in table.all("th"))


def test_there_are_landmarks_a_language_and_a_way_past_the_contents(tree):
    (root,) = tree.all("html")
    assert root.attributes["lang"] == "en"
    for landmark in ("header", "nav", "main"):
        assert len(list(tree.all(landmark))) == 1
    (main,) = tree.all("main")
    assert next(tree.all("a")).attributes["href"] == f"#{main.attributes['id']}"


def test_hostile_text_is_shown_and_means_nothing():
    html = page(hostile(), stylesheet=STYLE)
    tree = Tree(html).root
    assert "<script" not in html
    assert "<img" not in html
    assert "{{ 7 * 7 }}" in html
    # Summary, description, title, table cells: all of it arrives as it was written.
    assert tree.text.count('<script>alert("x")</script>') > 20
    known = {"class", "id", "href", "role", "scope", "data-label", "aria-labelledby", "lang"}
    known |= {"charset", "name", "content", "rel", "tabindex"}
    assert {a for e in everything(tree) for a in e.attributes} <= known


def test_the_contents_lead_to_every_operation_by_tag(sample):
    (nav,) = sample.all("nav")
    told = [link.words() for link in nav.all("a")]
    assert told == [
        "Authentication",
        *("Sessions", "GET /api/authentication", "DELETE /api/authentication"),
        *("Downloads", "GET /api/firmware/fetch", "POST /api/firmware/fetch"),
        *("GET /api/firmware/fetch/{key}", "DELETE /api/firmware/fetch/{key}"),
        *("Other", "POST /api/upload/firmware"),
        *("Schemas", *DOCUMENT["components"]["schemas"]),
    ]


def article(sample, heading):
    (found,) = (a for a in sample.all("article") if next(a.all("h3")).words() == heading)
    return found


def rows(element, caption):
    (table,) = (t for t in element.all("table") if next(t.all("caption")).words() == caption)
    body = next(table.all("tbody"))
    return [[cell.words() for cell in row.inside] for row in body.all("tr")]


def test_an_operation_is_told_whole(sample):
    told = article(sample, "POST /api/firmware/fetch")
    text = told.words()
    assert "Start a download" in text
    assert "The job is on disk when the 202 is sent" in text
    assert "Who may call: admin" in text
    assert rows(told, "Fields of the request to POST /api/firmware/fetch as application/json") == [
        ["url", "string (uri), at most 8192 characters", "yes", "http or https."],
        ["checksum", "Checksum", "yes", ""],
        ["checksum.sha256", "string that matches ^[0-9A-Fa-f]{64}$", "yes", ""],
    ]
    location = "Header fields: Location, string (uri-reference), optional Path of the new job."
    assert rows(told, "Responses to POST /api/firmware/fetch") == [
        [
            "202 Accepted",
            f"The job is queued. {location}",
            "application/json Fetch",
        ],
        ["400 Bad Request", "The request is refused.", "application/json Problem"],
        ["any other", "The request is refused.", "application/json Problem"],
    ]
    (example,) = told.all("pre")
    sent = (
        """{"url": "https://images.example.org/appliance-2.iso", "checksum": {"sha256": "TEXT"}}"""
    )
    assert example.text.split(" \\\n  ") == [
        "curl",
        "--cookie session.txt",
        "--request POST",
        "--header 'Content-Type: application/json'",
        f"--data '{sent}'",
        "https://HOST:8443/api/firmware/fetch",
    ]


def test_parameters_of_the_path_and_of_the_operation_are_told(sample):
    told = article(sample, "GET /api/firmware/fetch/{key}")
    assert rows(told, "Parameters of GET /api/firmware/fetch/{key}") == [
        ["key", "path", "string (uuid)", "yes", "The download's key."],
        ["If-None-Match", "header", "string or null", "no", ""],
    ]
    told = article(sample, "GET /api/firmware/fetch")
    limit = ["limit", "query", "integer, 1 to 100", "yes", "How many at most. Default: 20"]
    assert limit in rows(told, "Parameters of GET /api/firmware/fetch")


@pytest.mark.parametrize(
    ("heading", "line"),
    [
        (
            "GET /api/authentication",
            "curl --user NAME --cookie-jar session.txt https://HOST:8443/api/authentication",
        ),
        (
            "GET /api/firmware/fetch",
            "curl --cookie session.txt 'https://HOST:8443/api/firmware/fetch?limit=LIMIT'",
        ),
        (
            "DELETE /api/firmware/fetch/{key}",
            f"curl --cookie session.txt --request DELETE https://HOST:8443/api/firmware/fetch/{KEY}",
        ),
        (
            "POST /api/upload/firmware",
            f"{POST} --form file=@FILE https://HOST:8443/api/upload/firmware",
        ),
    ],
)
def test_examples_are_commands_for_a_shell(sample, heading, line):
    (example,) = article(sample, heading).all("pre")
    assert example.text.replace(" \\\n  ", " ") == line
    assert shlex.join(shlex.split(line)) == line


def test_who_may_call_is_found_in_the_security_too(sample):
    assert "Who may call: cookie session_id" in article(sample, "DELETE /api/authentication").text
    document = {"paths": {"/a": {"get": {}}, "/b": {"get": {"security": [{}]}}}}
    (group,) = view_of(document).groups
    assert [operation.access for operation in group.operations] == ["anyone", "anyone"]


def test_a_schema_is_told_with_the_objects_inside_it(sample):
    assert rows(article(sample, "Fetch"), "Fields of Fetch") == [
        ["body", "object", "yes", ""],
        ["body.bytes_downloaded", "integer, at least 0", "yes", ""],
        [
            "body.slot_id",
            "integer, 1 to 99, or null",
            "no",
            "Where it was installed; null before.",
        ],
        ["body.status", "Status", "yes", ""],
        ["key", "string (uuid)", "yes", ""],
        ["meta", "Meta", "yes", ""],
    ]
    states = '"queued" or "in-progress" or "finished" or "failed" or "cancelled"'
    assert states in article(sample, "Status").words()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (True, "any value"),
        (False, "no value"),
        ({}, "any value"),
        ({"description": "free"}, "any value"),
        ({"const": None}, "null"),
        ({"type": "boolean"}, "boolean"),
        (
            {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 5},
            "integer, over 0, a multiple of 5",
        ),
        ({"type": "number", "minimum": 0.5}, "number, at least 0.5"),
        ({"type": "string", "minLength": 1}, "string, at least 1 character"),
        ({"type": "string", "minLength": 40, "maxLength": 40}, "string, exactly 40 characters"),
        ({"type": ["string", "null"], "maxLength": 9}, "string, at most 9 characters, or null"),
        ({"type": "array"}, "array"),
        ({"items": {}}, "array of any value"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "array of (string or null)"),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
            "array of string, at least 1 item, all different",
        ),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
            "array of (string, integer)",
        ),
        (
            {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/A"}},
            "object with values of A",
        ),
        ({"type": "object", "additionalProperties": False}, "object"),
        ({"allOf": [{"$ref": "#/components/schemas/A"}, {"type": "object"}]}, "A and object"),
        ({"$ref": "https://other.example/schemas/B"}, "B"),
    ],
)
def test_types_in_words(schema, words):
    document = Document({"components": {"schemas": {"A": {}}}})
    assert "".join(piece.text for piece in document.type_of(schema)) == words


def test_what_contains_itself_ends():
    loop = {"properties": {"next": {"$ref": "#/components/schemas/Loop"}}, "type": "object"}
    schemas = {"Loop": loop, "Self": {"$ref": "#/components/schemas/Self"}}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Loop"}}}}
    document = {"components": {"schemas": schemas}, "paths": {"/": {"put": {"requestBody": body}}}}
    (group,) = view_of(document).groups
    (content,) = group.operations[0].body.contents
    assert [each.name for each in content.fields] == ["next"]
    assert Document(document).resolve(schemas["Self"]) == {}


def test_only_backticks_mean_anything():
    assert with_code("a `b<` and ``c`` *d* `e") == (
        "a <code>b&lt;</code> and <code>c</code> *d* `e"
    )
    assert paragraphs("a\nb\n \n\nc\n") == ["a\nb", "c"]
    assert paragraphs(" \n") == []


def test_the_style_sheet_asks_nobody_else_for_anything():
    css = style().decode()
    assert "prefers-color-scheme: dark" in css
    assert "url(" not in css
    assert "@import" not in css
