"""Spare slashes in a path: a public client lists the root at ``/api//``. [seen in client]."""

import re
from collections.abc import Iterator
from typing import NoReturn

from aiohttp import web
from aiohttp.abc import AbstractRouter
from yarl import URL

_DOUBLED = re.compile(r"/{2,}")


class SpareSlashes(web.AbstractResource):
    """Asked last: finds the route that the path without its spare slashes would have."""

    def __init__(self, router: AbstractRouter) -> None:
        super().__init__()
        self._router = router

    @property
    def canonical(self) -> str:
        """Where the router looks for this resource: above every path."""
        return "/"

    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """As the router resolves the path with no slash to spare."""
        single = _DOUBLED.sub("/", request.rel_url.raw_path).rstrip("/") or "/"
        if single == request.rel_url.raw_path:
            return None, set()
        found = await self._router.resolve(request.clone(rel_url=URL(single, encoded=True)))
        match found.http_exception:
            case None if isinstance(found, web.UrlMappingMatchInfo):
                return found, set()
            case web.HTTPMethodNotAllowed(allowed_methods=allowed):
                return None, allowed
            case _:
                return None, set()

    def url_for(self, **_: str) -> NoReturn:
        """Nothing links to a spare slash."""
        raise NotImplementedError

    def add_prefix(self, prefix: str) -> NoReturn:
        """The resource belongs to the whole server."""
        raise NotImplementedError

    def get_info(self) -> NoReturn:
        """Nobody asks."""
        raise NotImplementedError

    def raw_match(self, path: str) -> bool:
        """Never: no route is added to this resource."""
        del path
        return False

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(())
