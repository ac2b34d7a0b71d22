"""The API's description of itself: for programs, and as a page for people.

Anyone may read it: it tells of spsd, and nothing of the appliance.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import hdrs, web

from spsd.web.contract import JSON, Access, Answer, Operation
from spsd.web.paths import OPENAPI

DOCUMENT = web.AppKey("document", Mapping[str, Any])


async def openapi(request: web.Request) -> web.Response:
    """The OpenAPI document."""
    body = msgspec.json.encode(request.app[DOCUMENT])
    return web.Response(body=body, content_type=JSON)


OPERATIONS = (
    Operation(
        name="getDescription",
        method=hdrs.METH_GET,
        path=OPENAPI,
        handler=openapi,
        tag="Description",
        summary="Read this description as OpenAPI 3.1",
        access=Access.ANYONE,
        answer=Answer(None, meaning="An OpenAPI document.", media_type=JSON),
    ),
)
