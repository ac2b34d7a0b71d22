"""The API as a page to read: rendered on the server, from the OpenAPI document alone.

Whatever a document says is escaped. The page has no script, no inline style, and nothing from
another host.
"""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from spsd.web.docs.view import view_of

_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)


def page(document: Mapping[str, Any], *, stylesheet: str, source: str = "") -> str:
    """The document as HTML, with links to a style sheet and to ``source``, the document itself."""
    return _TEMPLATE.render(view=view_of(document), stylesheet=stylesheet, source=source)


def style() -> bytes:
    """The style sheet of the page, as CSS in UTF-8."""
    return _STYLE


def with_code(text: str) -> Markup:
    """What stands between backticks as code; all else as it is."""
    html, end = Markup(), 0
    for found in _CODE.finditer(text):
        html += escape(text[end : found.start()]) + Markup("<code>{}</code>").format(found[2])
        end = found.end()
    return html + escape(text[end:])


def paragraphs(text: str) -> list[str]:
    """What blank lines set apart."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("spsd.web", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"with_code": with_code, "paragraphs": paragraphs}
    return environment


# Read at import, so that nobody waits for a disk while the event loop runs.
_TEMPLATE = _environment().get_template("api.html.j2")
_STYLE = resources.files("spsd.web").joinpath("pages", "api.css").read_bytes()
