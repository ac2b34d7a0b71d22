"""``/api/firmware/test`` and ``/api/firmware/upgrade``."""

from aiohttp import web

from spsd.services.upgrade import Upgrade

UPGRADE = web.AppKey("upgrade", Upgrade)
