"""``/api/health_status``: how the machine is, and whether the running firmware is whole."""

from typing import Annotated

from aiohttp import hdrs, web
from msgspec import Meta

from spsd.slots.integrity import Finding, Integrity, Verdict
from spsd.system.host import Load
from spsd.web.answers import Shape, answer
from spsd.web.contract import Access, Answer, Operation
from spsd.web.info import HOST
from spsd.web.paths import HEALTH, ROOT

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

    boot: Verdict
    core: Verdict


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
    return answer(_told(load, finding))


def _told(load: Load, finding: Finding) -> Health:
    firmware = FirmwareHealth(
        TaintedFiles(boot=0, core=finding.changed_files, ha_other=0),
        IntegrityVerdicts(boot=finding.verdict, core=finding.verdict),
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


OPERATIONS = (
    Operation(
        name="getHealth",
        method=hdrs.METH_GET,
        path=HEALTH,
        handler=health,
        tag="Appliance",
        summary="See how the machine is and whether the running firmware is whole",
        notes="The running slot's image is read and hashed at the start and every hour.",
        access=Access.VIEWER,
        answer=Answer(Health, meaning="How it is."),
    ),
)
