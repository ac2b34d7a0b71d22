"""Superfluous slashes in a path: a public client lists the root at ``/api//``. [seen in client]."""

import re
from collections.abc import Iterator
from typing import NoReturn

from aiohttp import web
from aiohttp.abc import AbstractRouter
from yarl import URL

_DOUBLED = re.compile(r"/{2,}")


class SpareSlashes(web.AbstractResource):
    """The last resource of the router: finds the route of the path without superfluous slashes."""

    def __init__(self, router: AbstractRouter) -> None:
        super().__init__()
        self._router = router

    @property
    def canonical(self) -> str:
        """The prefix by which the router finds this resource: it applies to every path."""
        return "/"

    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """The match of the path without superfluous slashes, or the methods that it allows."""
        single = _DOUBLED.sub("/", request.rel_url.raw_path).rstrip("/") or "/"
        if single == request.rel_url.raw_path:
            return None, set()
        match_info = await self._router.resolve(request.clone(rel_url=URL(single, encoded=True)))
        match match_info.http_exception:
            case None if isinstance(match_info, web.UrlMappingMatchInfo):
                return match_info, set()
            case web.HTTPMethodNotAllowed(allowed_methods=allowed):
                return None, allowed
            case _:
                return None, set()

    def url_for(self, **_: str) -> NoReturn:
        """Not used: no URL is built with superfluous slashes."""
        raise NotImplementedError

    def add_prefix(self, prefix: str) -> NoReturn:
        """Not used: the resource applies to the whole server."""
        raise NotImplementedError

    def get_info(self) -> NoReturn:
        """Not used by spsd."""
        raise NotImplementedError

    def raw_match(self, path: str) -> bool:
        """Always False: no route is added to this resource."""
        del path
        return False

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(())
