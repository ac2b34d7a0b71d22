"""``/api/info``: what this appliance is; strangers see less."""

from collections.abc import Callable
from typing import Annotated, Any

from aiohttp import hdrs, web
from msgspec import UNSET, Meta, UnsetType

from spsd import __version__
from spsd.accounts.model import Session
from spsd.slots.model import InstalledImage
from spsd.slots.service import Slots
from spsd.system.host import Host, HostName
from spsd.web.answers import Shape, answer, one_of
from spsd.web.auth import SESSION
from spsd.web.contract import Access, Answer, Operation
from spsd.web.firmware_slots import SLOT_STORE
from spsd.web.paths import DOCS, INFO, ROOT

HOST = web.AppKey("host", Host)
CONFIG_HASH: web.AppKey[Callable[[], str]] = web.AppKey("config_hash")


class PluginSdkVersion(Shape):
    """Two versions, of which a client that compares them finds that there are no plug-ins."""

    feature: str = "0.0"
    full: str = "0.0.0"


class PublicInfo(Shape):
    """What anybody may know."""

    domainname: str
    hostname: str
    nickname: None
    support_link: Annotated[str, Meta(description="Where to read on.")]
    plugin_sdk_version: PluginSdkVersion


class FullInfo(PublicInfo):
    """What a user may know."""

    analytics_enabled: Annotated[bool, Meta(description="Always false: nothing is sent anywhere.")]
    build_date: Annotated[str | None, Meta(description="Null: images do not tell it.")]
    config_hash: Annotated[str, Meta(description="SHA-256 of the settings in force.")]
    firmware_version: Annotated[
        str | None, Meta(description="Of the running slot; null while nobody knows which runs.")
    ]
    roles: Annotated[list[str], Meta(description="Of the user who asks.")]
    version: Annotated[str, Meta(description="Of spsd.")]


class InfoMeta(Shape):
    """Where the answer stands, and how long the session is good."""

    href: str
    parent: str
    remaining_seconds: Annotated[int, Meta(ge=0, description="For users only.")] | UnsetType = UNSET


class Info(Shape):
    """About this appliance."""

    body: Annotated[Any, one_of(FullInfo, PublicInfo)]
    key: str
    meta: InfoMeta


async def info(request: web.Request) -> web.Response:
    """As much as the client may know."""
    session = request.get(SESSION)
    name = await request.app[HOST].name()
    if session is None:
        return _answer(_public(name), UNSET)
    version = await _firmware_version(request.app[SLOT_STORE])
    body = _full(name, session, config_hash=request.app[CONFIG_HASH](), firmware_version=version)
    return _answer(body, session.remaining_s)


def _answer(body: PublicInfo, remaining: int | UnsetType) -> web.Response:
    return answer(Info(body, "about_info", InfoMeta(INFO, ROOT, remaining)))


def _public(name: HostName) -> PublicInfo:
    return PublicInfo(
        domainname=name.domainname,
        hostname=name.hostname,
        nickname=None,
        support_link=DOCS,
        plugin_sdk_version=PluginSdkVersion(),
    )


def _full(
    name: HostName, session: Session, *, config_hash: str, firmware_version: str | None
) -> FullInfo:
    return FullInfo(
        domainname=name.domainname,
        hostname=name.hostname,
        nickname=None,
        support_link=DOCS,
        plugin_sdk_version=PluginSdkVersion(),
        analytics_enabled=False,
        build_date=None,
        config_hash=config_hash,
        firmware_version=firmware_version,
        roles=[session.role],
        version=__version__,
    )


async def _firmware_version(slots: Slots) -> str | None:
    if slots.current is None:
        return None
    content = (await slots.list()).get(slots.current)
    return content.info.version if isinstance(content, InstalledImage) else None


OPERATIONS = (
    Operation(
        name="getInfo",
        method=hdrs.METH_GET,
        path=INFO,
        handler=info,
        tag="Appliance",
        summary="See what this appliance is and which firmware runs",
        notes="Clients read `firmware_version` to learn whether an upgrade took effect.",
        access=Access.EITHER,
        answer=Answer(Info, meaning="About this appliance.", inside=(FullInfo, PublicInfo)),
    ),
)
