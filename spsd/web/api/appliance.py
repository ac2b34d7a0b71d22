"""``/api/info`` and ``/api/health_status``: facts about the appliance, and its health."""

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
    """Versions below all real ones: a client that compares them finds no plug-in support."""

    feature: str = "0.0"
    full: str = "0.0.0"


class PublicInfo(Shape):
    """Facts that need no session."""

    domainname: str
    hostname: str
    nickname: None
    support_link: Annotated[str, Meta(description="Path of the API documentation.")]
    plugin_sdk_version: PluginSdkVersion


class FullInfo(PublicInfo):
    """Facts for a client with a session."""

    analytics_enabled: Annotated[bool, Meta(description="Always false: spsd sends no usage data.")]
    build_date: Annotated[str | None, Meta(description="Always null: images do not state it.")]
    config_hash: Annotated[str, Meta(description="SHA-256 of the settings in force.")]
    firmware_version: Annotated[
        str | None,
        Meta(description="Version of the running firmware; null if the running slot is unknown."),
    ]
    roles: Annotated[list[str], Meta(description="Roles of the user.")]
    version: Annotated[str, Meta(description="Version of spsd.")]


class InfoMeta(Shape):
    """Links, and the remaining time of the session."""

    href: str
    parent: str
    remaining_seconds: (
        Annotated[int, Meta(ge=0, description="Until the session expires; only with a session.")]
        | UnsetType
    ) = UNSET


class Info(Shape):
    """Facts about the appliance."""

    body: Annotated[Any, one_of(FullInfo, PublicInfo)]
    key: str
    meta: InfoMeta


async def info(request: web.Request) -> web.Response:
    """Facts about the appliance; a client with a session gets all."""
    session = request.get(SESSION)
    name = await request.app[HOST].name()
    if session is None:
        return _info_response(_public(name), UNSET)
    version = await _firmware_version(request.app[SLOT_STORE])
    body = _full(name, session, config_hash=request.app[CONFIG_HASH](), firmware_version=version)
    return _info_response(body, session.remaining_s)


def _info_response(body: PublicInfo, remaining_s: int | UnsetType) -> web.Response:
    return respond(Info(body, "about_info", InfoMeta(INFO, ROOT, remaining_s)))


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
        summary="Read facts about the appliance, such as the running firmware",
        notes="After an upgrade, `firmware_version` shows whether the new firmware runs. A client "
        "without a session gets a part of the facts.",
        access=Access.OPTIONAL_SESSION,
        success=SuccessResponse(
            Info, meaning="Facts about the appliance.", nested=(FullInfo, PublicInfo)
        ),
    ),
)
INTEGRITY = web.AppKey("integrity", Integrity)
Percent = Annotated[float, Meta(ge=0, le=100, description="In percent.")]
Average = Annotated[float, Meta(ge=0, description="Load average, as in uptime(1).")]
Count = Annotated[
    int, Meta(ge=0, description="Number of files that differ from the installed ones.")
]


class TaintedFiles(Shape):
    """Numbers of changed files. spsd installs one file in a slot, the image: it counts as core."""

    boot: Count
    core: Count
    ha_other: Count


class IntegrityVerdicts(Shape):
    """Both members are about the image of the running slot; UNKNOWN if that slot is unknown."""

    boot: IntegrityStatus
    core: IntegrityStatus


class FirmwareHealth(Shape):
    """Whether the running firmware still is what was installed."""

    tainted_files: TaintedFiles
    integrity: IntegrityVerdicts


class HealthStatus(Shape):
    """The load of the machine, and the integrity of the running firmware."""

    cpu: Percent
    disk: Percent
    memory: Percent
    swap: Percent
    load1: Average
    load5: Average
    load15: Average
    firmware: FirmwareHealth


class HealthMeta(Shape):
    """Links, and the age of the integrity check."""

    href: str
    parent: str
    integrity_age_seconds: Annotated[
        int, Meta(ge=0, description="Time since the image was last read from disk and hashed.")
    ]


class Health(Shape):
    """The health of the appliance, without a ``body``. [seen in sample] 7.2."""

    health_status: HealthStatus
    meta: HealthMeta


async def health(request: web.Request) -> web.Response:
    """The load of the last second, and the result of the last integrity check."""
    load = await request.app[HOST].load()
    report = await request.app[INTEGRITY].latest()
    return respond(_health_document(load, report))


def _health_document(load: Load, report: IntegrityReport) -> Health:
    firmware = FirmwareHealth(
        TaintedFiles(boot=0, core=report.changed_files, ha_other=0),
        IntegrityVerdicts(boot=report.status, core=report.status),
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
    return Health(status, HealthMeta(HEALTH, ROOT, report.age_s))


HEALTH_OPERATIONS = (
    Operation(
        name="getHealth",
        method=hdrs.METH_GET,
        path=HEALTH,
        handler=health,
        tag="Appliance",
        summary="Read the load of the machine and the integrity of the firmware",
        notes="The image of the running slot is read and hashed when spsd starts and every hour.",
        access=Access.VIEWER,
        success=SuccessResponse(Health, meaning="The health of the appliance."),
    ),
)
