"""What the appliance says of itself, of the user, and of its health."""

from typing import Any

from spsd.testing.conformance import reading
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.messages import items
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.conformance.target import SLOTS, Target

INFO, USER, HEALTH = "/api/info", "/api/user_info", "/api/health_status"
PUBLIC = ("domainname", "hostname", "nickname", "support_link")
PRIVATE = (
    "analytics_enabled",
    "build_date",
    "config_hash",
    "firmware_version",
    "roles",
    "version",
)
FACTS = Facts(Section.INFO, "info")


def _anonymous(target: Target) -> dict[str, Any]:
    answer = target.once("stranger /api/info", lambda: target.stranger().call("GET", INFO))
    reading.status(answer, 200)
    return reading.document(answer)


@FACTS.fact("anonymous", Mark.DOCUMENTED, Need.NOTHING, "A stranger may see a reduced `/api/info`.")
def _(target: Target) -> None:
    reading.mapping(reading.at(_anonymous(target), "body"), "body")


@FACTS.fact("key", Mark.SAMPLE, Need.NOTHING, "Its key is `about_info`.")
def _(target: Target) -> None:
    reading.is_at(_anonymous(target), "key", "about_info")


@FACTS.fact("public", Mark.SAMPLE, Need.NOTHING, f"It tells a stranger {', '.join(PUBLIC)}.")
def _(target: Target) -> None:
    reading.having(reading.at(_anonymous(target), "body"), PUBLIC, "body")


@FACTS.fact(
    "plugin-sdk",
    Mark.SAMPLE,
    Need.NOTHING,
    "It tells a stranger `plugin_sdk_version`, with `feature` and `full`.",
    since="6.9",
)
def _(target: Target) -> None:
    told = reading.at(_anonymous(target), "body.plugin_sdk_version")
    reading.having(told, ("feature", "full"), "plugin_sdk_version")


@FACTS.fact("private", Mark.SAMPLE, Need.NOTHING, "It tells a stranger no version and no roles.")
def _(target: Target) -> None:
    reading.without(reading.at(_anonymous(target), "body"), PRIVATE, "body")
    reading.without(reading.at(_anonymous(target), "meta"), ("remaining_seconds",), "meta")


@FACTS.fact("logged-in", Mark.SAMPLE, Need.SESSION, f"A user sees besides {', '.join(PRIVATE)}.")
def _(target: Target) -> None:
    reading.having(reading.at(target.document(INFO), "body"), (*PUBLIC, *PRIVATE), "body")


@FACTS.fact(
    "firmware-version",
    Mark.CLIENT,
    Need.SESSION,
    "`firmware_version` is the version of the slot that runs.",
)
def _(target: Target) -> None:
    told = reading.at(target.document(INFO), "body.firmware_version")
    current = reading.at(target.document(SLOTS), "meta.current_slot")
    if current is None:
        raise NotTried("the server does not know which slot runs")
    for item in items(target.document(SLOTS)):
        if reading.at(item, "meta.href") == current:
            reading.equal(told, reading.at(item, "body.version"), "firmware_version")
            return
    raise Broken(f"current_slot leads nowhere: {reading.shown(current)}")


@FACTS.fact(
    "remaining-seconds",
    Mark.SAMPLE,
    Need.SESSION,
    "A user sees in `meta.remaining_seconds` how long the session is good, as a whole number.",
)
def _(target: Target) -> None:
    told = reading.at(target.document(INFO), "meta.remaining_seconds")
    if reading.whole(told, "remaining_seconds") <= 0:
        raise Broken(f"remaining_seconds is {told}")


@FACTS.fact(
    "user.name",
    Mark.DOCUMENTED,
    Need.SESSION,
    "`/api/user_info` tells the name of the user, with no `body` around it.",
    since="7.0",
)
def _(target: Target) -> None:
    reading.is_at(target.document(USER), "user.name", target.user)
    reading.without(target.document(USER), ("body",), "the answer")


@FACTS.fact(
    "user.endpoints",
    Mark.DOCUMENTED,
    Need.SESSION,
    "It lists paths, each with the methods that the user may use.",
    since="7.0",
)
def _(target: Target) -> None:
    endpoints = reading.array(reading.at(target.document(USER), "endpoints"), "endpoints")
    if not endpoints:
        raise Broken("it lists none")
    for one in endpoints:
        reading.text(reading.at(one, "url"), "url")
        for method in reading.array(reading.at(one, "methods"), "methods"):
            reading.text(method, "a method")


@FACTS.fact(
    "user.aliases",
    Mark.DOCUMENTED,
    Need.SESSION,
    "`/api/user/info`, `/api/userinfo` and `/api/endpoints` tell the same.",
    since="7.0",
)
def _(target: Target) -> None:
    for path in ("/api/user/info", "/api/userinfo", "/api/endpoints"):
        for name in ("user", "endpoints"):
            wanted = reading.at(target.document(USER), name)
            reading.equal(reading.at(target.document(path), name), wanted, f"{name} of {path}")


@FACTS.fact(
    "health.numbers",
    Mark.SAMPLE,
    Need.SESSION,
    "`/api/health_status` has numbers for cpu, disk, memory, swap and the three loads.",
    since="7.2",
)
def _(target: Target) -> None:
    told = reading.at(target.document(HEALTH), "health_status")
    for name in ("cpu", "disk", "memory", "swap", "load1", "load5", "load15"):
        value = reading.at(told, name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Broken(f"{name} is no number: {reading.shown(value)}")


@FACTS.fact(
    "health.tainted",
    Mark.SAMPLE,
    Need.SESSION,
    "Its firmware block counts changed files of boot, core and ha_other.",
    since="7.2",
)
def _(target: Target) -> None:
    told = reading.at(target.document(HEALTH), "health_status.firmware.tainted_files")
    for name in ("boot", "core", "ha_other"):
        reading.whole(reading.at(told, name), f"tainted_files.{name}")


@FACTS.fact(
    "health.integrity",
    Mark.SAMPLE,
    Need.SESSION,
    "The integrity of boot and core is `OK` or `CORRUPTED`.",
    since="7.2",
)
def _(target: Target) -> None:
    told = reading.at(target.document(HEALTH), "health_status.firmware.integrity")
    for name in ("boot", "core"):
        value = reading.text(reading.at(told, name), f"integrity.{name}")
        if value not in ("OK", "CORRUPTED"):
            if reading.at(target.document(SLOTS), "meta.current_slot") is None:
                raise NotTried("the server does not know which slot runs")
            raise Broken(f"integrity.{name} is {value}")
