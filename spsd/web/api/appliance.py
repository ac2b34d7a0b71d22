"""``/api/info`` and ``/api/health_status``: what this appliance is, and how it is."""

from collections.abc import Callable
from typing import Annotated, Any

from aiohttp import hdrs, web
from msgspec import UNSET, Meta, UnsetType

from spsd import __version__
from spsd.accounts.model import Session
from spsd.slots.integrity import Integrity, IntegrityReport, IntegrityStatus
from spsd.slots.model import InstalledImage
from spsd.slots.service import Slots
from spsd.system.host import Host, HostName, Load
from spsd.web.api.slots import SLOT_STORE
from spsd.web.contract import Access, Operation, SuccessResponse
from spsd.web.links import DOCS, HEALTH, INFO, ROOT
from spsd.web.middleware.auth import SESSION
from spsd.web.responses import Shape, one_of, respond

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
    return respond(Info(body, "about_info", InfoMeta(INFO, ROOT, remaining)))


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


INFO_OPERATIONS = (
    Operation(
        name="getInfo",
        method=hdrs.METH_GET,
        path=INFO,
        handler=info,
        tag="Appliance",
        summary="See what this appliance is and which firmware runs",
        notes="Clients read `firmware_version` to learn whether an upgrade took effect.",
        access=Access.EITHER,
        answer=SuccessResponse(
            Info, meaning="About this appliance.", inside=(FullInfo, PublicInfo)
        ),
    ),
)
INTEGRITY = web.AppKey("integrity", Integrity)
Percent = Annotated[float, Meta(ge=0, le=100, description="In percent.")]
Average = Annotated[float, Meta(ge=0, description="As uptime(1) has it.")]
Count = Annotated[int, Meta(ge=0, description="How many files are not as installed.")]


class TaintedFiles(Shape):
    """Of what spsd installs, a slot has one file: its image, which counts as core."""

    boot: Count
    core: Count
    ha_other: Count


class IntegrityVerdicts(Shape):
    """Both words are about the running slot's image; UNKNOWN where none is known to run."""

    boot: IntegrityStatus
    core: IntegrityStatus


class FirmwareHealth(Shape):
    """Whether the running firmware is what was installed."""

    tainted_files: TaintedFiles
    integrity: IntegrityVerdicts


class HealthStatus(Shape):
    """How the machine is."""

    cpu: Percent
    disk: Percent
    memory: Percent
    swap: Percent
    load1: Average
    load5: Average
    load15: Average
    firmware: FirmwareHealth


class HealthMeta(Shape):
    """Where the answer stands, and how old the word on the firmware is."""

    href: str
    parent: str
    integrity_age_seconds: Annotated[
        int, Meta(ge=0, description="Since the image was last read from disk and hashed.")
    ]


class Health(Shape):
    """No ``body`` around it. [seen in sample] 7.2."""

    health_status: HealthStatus
    meta: HealthMeta


async def health(request: web.Request) -> web.Response:
    """What was measured in the last second, and hashed in the last hour."""
    load = await request.app[HOST].load()
    finding = await request.app[INTEGRITY].latest()
    return respond(_told(load, finding))


def _told(load: Load, finding: IntegrityReport) -> Health:
    firmware = FirmwareHealth(
        TaintedFiles(boot=0, core=finding.changed_files, ha_other=0),
        IntegrityVerdicts(boot=finding.status, core=finding.status),
    )
    status = HealthStatus(
        cpu=load.cpu,
        disk=load.disk,
        memory=load.memory,
        swap=load.swap,
        load1=load.load1,
        load5=load.load5,
        load15=load.load15,
        firmware=firmware,
    )
    return Health(status, HealthMeta(HEALTH, ROOT, finding.age_s))


HEALTH_OPERATIONS = (
    Operation(
        name="getHealth",
        method=hdrs.METH_GET,
        path=HEALTH,
        handler=health,
        tag="Appliance",
        summary="See how the machine is and whether the running firmware is whole",
        notes="The running slot's image is read and hashed at the start and every hour.",
        access=Access.VIEWER,
        answer=SuccessResponse(Health, meaning="How it is."),
    ),
)
