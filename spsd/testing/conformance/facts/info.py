"""Facts about the appliance's information, its user and its health."""

from typing import Any

from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken, NotTried
from spsd.testing.conformance.fact import Facts, Mark, Need, Section
from spsd.testing.conformance.facts.messages import items
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
    answer = target.once("stranger /api/info", lambda: target.anonymous().call("GET", INFO))
    checks.status(answer, 200)
    return checks.document(answer)


@FACTS.fact("anonymous", Mark.DOCUMENTED, Need.NOTHING, "A stranger may see a reduced `/api/info`.")
def _(target: Target) -> None:
    checks.mapping(checks.member(_anonymous(target), "body"), "body")


@FACTS.fact("key", Mark.SAMPLE, Need.NOTHING, "Its key is `about_info`.")
def _(target: Target) -> None:
    checks.member_is(_anonymous(target), "key", "about_info")


@FACTS.fact("public", Mark.SAMPLE, Need.NOTHING, f"Without a session it has {', '.join(PUBLIC)}.")
def _(target: Target) -> None:
    checks.has_members(checks.member(_anonymous(target), "body"), PUBLIC, "body")


@FACTS.fact(
    "plugin-sdk",
    Mark.SAMPLE,
    Need.NOTHING,
    "Without a session it has `plugin_sdk_version`, with `feature` and `full`.",
    since="6.9",
)
def _(target: Target) -> None:
    sdk_version = checks.member(_anonymous(target), "body.plugin_sdk_version")
    checks.has_members(sdk_version, ("feature", "full"), "plugin_sdk_version")


@FACTS.fact(
    "private", Mark.SAMPLE, Need.NOTHING, "Without a session it has no version and no roles."
)
def _(target: Target) -> None:
    checks.has_no_members(checks.member(_anonymous(target), "body"), PRIVATE, "body")
    checks.has_no_members(checks.member(_anonymous(target), "meta"), ("remaining_seconds",), "meta")


@FACTS.fact("logged-in", Mark.SAMPLE, Need.SESSION, f"A user sees besides {', '.join(PRIVATE)}.")
def _(target: Target) -> None:
    checks.has_members(checks.member(target.document(INFO), "body"), (*PUBLIC, *PRIVATE), "body")


@FACTS.fact(
    "firmware-version",
    Mark.CLIENT,
    Need.SESSION,
    "`firmware_version` is the version of the slot that runs.",
)
def _(target: Target) -> None:
    version = checks.member(target.document(INFO), "body.firmware_version")
    current = checks.member(target.document(SLOTS), "meta.current_slot")
    if current is None:
        raise NotTried("the server does not know which slot runs")
    for item in items(target.document(SLOTS)):
        if checks.member(item, "meta.href") == current:
            checks.equal(version, checks.member(item, "body.version"), "firmware_version")
            return
    raise Broken(f"current_slot leads nowhere: {checks.brief(current)}")


@FACTS.fact(
    "remaining-seconds",
    Mark.SAMPLE,
    Need.SESSION,
    "A user sees in `meta.remaining_seconds` how long the session is good, as a whole number.",
)
def _(target: Target) -> None:
    seconds = checks.member(target.document(INFO), "meta.remaining_seconds")
    if checks.integer(seconds, "remaining_seconds") <= 0:
        raise Broken(f"remaining_seconds is {seconds}")


@FACTS.fact(
    "user.name",
    Mark.DOCUMENTED,
    Need.SESSION,
    "`/api/user_info` has the name of the user, with no `body` around it.",
    since="7.0",
)
def _(target: Target) -> None:
    checks.member_is(target.document(USER), "user.name", target.user)
    checks.has_no_members(target.document(USER), ("body",), "the answer")


@FACTS.fact(
    "user.endpoints",
    Mark.DOCUMENTED,
    Need.SESSION,
    "It lists paths, each with the methods that the user may use.",
    since="7.0",
)
def _(target: Target) -> None:
    endpoints = checks.array(checks.member(target.document(USER), "endpoints"), "endpoints")
    if not endpoints:
        raise Broken("it lists none")
    for endpoint in endpoints:
        checks.string(checks.member(endpoint, "url"), "url")
        for method in checks.array(checks.member(endpoint, "methods"), "methods"):
            checks.string(method, "a method")


@FACTS.fact(
    "user.aliases",
    Mark.DOCUMENTED,
    Need.SESSION,
    "`/api/user/info`, `/api/userinfo` and `/api/endpoints` have the same content.",
    since="7.0",
)
def _(target: Target) -> None:
    for path in ("/api/user/info", "/api/userinfo", "/api/endpoints"):
        for name in ("user", "endpoints"):
            expected = checks.member(target.document(USER), name)
            checks.equal(checks.member(target.document(path), name), expected, f"{name} of {path}")


@FACTS.fact(
    "health.numbers",
    Mark.SAMPLE,
    Need.SESSION,
    "`/api/health_status` has numbers for cpu, disk, memory, swap and the three loads.",
    since="7.2",
)
def _(target: Target) -> None:
    health = checks.member(target.document(HEALTH), "health_status")
    for name in ("cpu", "disk", "memory", "swap", "load1", "load5", "load15"):
        value = checks.member(health, name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Broken(f"{name} is no number: {checks.brief(value)}")


@FACTS.fact(
    "health.tainted",
    Mark.SAMPLE,
    Need.SESSION,
    "Its firmware block counts changed files of boot, core and ha_other.",
    since="7.2",
)
def _(target: Target) -> None:
    counts = checks.member(target.document(HEALTH), "health_status.firmware.tainted_files")
    for name in ("boot", "core", "ha_other"):
        checks.integer(checks.member(counts, name), f"tainted_files.{name}")


@FACTS.fact(
    "health.integrity",
    Mark.SAMPLE,
    Need.SESSION,
    "The integrity of boot and core is `OK` or `CORRUPTED`.",
    since="7.2",
)
def _(target: Target) -> None:
    integrity = checks.member(target.document(HEALTH), "health_status.firmware.integrity")
    for name in ("boot", "core"):
        value = checks.string(checks.member(integrity, name), f"integrity.{name}")
        if value not in ("OK", "CORRUPTED"):
            if checks.member(target.document(SLOTS), "meta.current_slot") is None:
                raise NotTried("the server does not know which slot runs")
            raise Broken(f"integrity.{name} is {value}")
