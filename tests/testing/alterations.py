"""For each fact, alterations of a server's responses that break this fact."""

import json

from tests.testing.proxy import (
    Alteration,
    Change,
    Exchange,
    alter,
    alter_request,
    content,
    cookie,
    drop,
    header,
    put,
    replaced,
    request_replaced,
    status,
)

FETCH, JOB = "/api/firmware/fetch", "/api/firmware/fetch/[0-9a-f-]{36}"
SLOTS, SLOT = "/api/firmware/slots", "/api/firmware/slots/[1-9][0-9]?"
FIRMWARE, INFO, USER = "/api/firmware", "/api/info", "/api/user_info"
HEALTH, UPLOAD = "/api/health_status", "/api/upload/firmware"
TEST, UPGRADE = "/api/firmware/test", "/api/firmware/upgrade"
LOG_IN = "/api/authentication"
METHODS, TYPES = f"{LOG_IN}/login_methods", f"{LOG_IN}/types"
ACCEPTED = '{"key": "6d0b4c0e-8f0e-4c4b-9d6a-3a1f0e5b7c21", "meta": {}}'


def get(path: str, *changes: object) -> Alteration:
    return alter("GET", path, *changes)


def post(path: str, *changes: object) -> Alteration:
    return alter("POST", path, *changes)


def delete(path: str, *changes: object) -> Alteration:
    return alter("DELETE", path, *changes)


def everywhere(*changes: object) -> tuple[Alteration, ...]:
    """Alter a download by itself, and in the list."""
    return get(JOB, *changes), get(FETCH, *changes)


def all_bytes_downloaded(exchange: Exchange) -> None:
    """Report all bytes as downloaded as soon as one byte is."""
    document = json.loads(exchange.response_content)
    body = document.get("body", {})
    if body.get("bytes_downloaded"):
        body["bytes_downloaded"] = body["bytes_total"]
    exchange.response_content = json.dumps(document).encode()


def reversed_items(exchange: Exchange) -> None:
    document = json.loads(exchange.response_content)
    document["items"].reverse()
    exchange.response_content = json.dumps(document).encode()


def echo_checksum() -> tuple[Alteration, ...]:
    """Show in each download the checksum of the last submission."""
    digests = []

    def note(exchange: Exchange) -> None:
        digests.append(json.loads(exchange.request_content)["checksum"]["sha256"])

    def show(exchange: Exchange) -> None:
        put("body.checksum", {"sha256": digests[-1]})(exchange)

    return alter_request("POST", FETCH, note), get(JOB, show)


def later(method: str, pattern: str, where: str, *changes: Change) -> tuple[Alteration, ...]:
    """Alter GET of `where` once there has been a request that matches."""
    requests: list[Exchange] = []

    def change_later(exchange: Exchange) -> None:
        for change in changes if requests else ():
            change(exchange)

    return alter(method, pattern, requests.append), get(where, change_later)


_TRANSPORT = {
    "transport.allow": get(FETCH, header("Allow", "PATCH")),
    "transport.content-language": get(SLOTS, header("Content-Language", "de")),
    "transport.content-type": get(f"{FETCH}/no-such-key", header("Content-Type", "text/html")),
    "transport.json": get(SLOTS, content("<html>")),
    "transport.type-on-get": get(INFO, status(415)),
    "transport.accept": get(INFO, status(406)),
    "transport.double-slash": get("/api//", content("{}")),
    "transport.unknown-query": get(SLOTS, status(400)),
}
_AUTH = {
    "auth.login.200": get(LOG_IN, status(201)),
    "auth.login.meta": get(LOG_IN, drop("meta")),
    "auth.login.body": get(LOG_IN, put("key", "authentication")),
    "auth.login.cookie": get(LOG_IN, cookie("session_id", "session")),
    "auth.login.cookie.form": get(LOG_IN, cookie("session_id=.", "session_id=G")),
    "auth.login.cookie.expiry": get(LOG_IN, cookie("Max-Age=[0-9]*;", "")),
    "auth.login.cookie.attributes": get(LOG_IN, cookie("HttpOnly;?", "")),
    "auth.login.method": get(LOG_IN, status(400)),
    "auth.login.wrong-password": get(LOG_IN, status(403)),
    "auth.login.wrong-type": get(LOG_IN, put("error.type", "WrongPassword")),
    "auth.cookie.opens": get(SLOTS, status(401)),
    "auth.basic-beside-cookie": get(FETCH, status(400)),
    "auth.basic-alone": get(FETCH, status(200)),
    "auth.log-out": delete(LOG_IN, status(405)),
    "auth.401": get(HEALTH, status(404)),
    "auth.401.write": post(FETCH, status(400)),
    "auth.401.stale-cookie": get(FETCH, status(200)),
    "auth.401.details": get(FETCH, put("error.details.resource", "/api")),
    "auth.401.type": get(FETCH, put("error.type", "NoSession")),
    "auth.401.resource": get(FETCH, put("error.details", {"path": FETCH})),
    "auth.403": post(FETCH, status(400)),
    "auth.403.details": post(FETCH, put("error.details", {})),
    "auth.403.type": post(FETCH, put("error.type", "Forbidden")),
    "auth.methods.anonymous": get(f"{METHODS}|{TYPES}", status(401)),
    "auth.methods.list": get(METHODS, put("login_methods", {})),
    "auth.types": get(TYPES, put("types", ["kerberos"])),
}
_MESSAGES = {
    "messages.meta": get(USER, drop("meta")),
    "messages.href": get(FETCH, put("meta.href", "/api/firmware/fetches")),
    "messages.parent": get(SLOTS, put("meta.parent", "/api")),
    "messages.links": get(FIRMWARE, put("meta.fetch", "https://a.example/api/firmware/fetch")),
    "messages.no-paging": get(FETCH, put("meta.next", None)),
    "messages.items": get(SLOTS, put("items", {"1": {}})),
    "messages.item-parent": get(SLOTS, put("items.*.meta.parent", SLOTS)),
    "messages.root.items": get("/api", put("items.*.meta.href", "/api")),
    "messages.firmware.items": get(FIRMWARE, drop("items.2")),
    "messages.firmware.item": get(FIRMWARE, put("items.1.body", {})),
    "messages.firmware.meta": get(FIRMWARE, drop("meta.upgrade")),
}
_INFO = {
    "info.anonymous": get(INFO, status(401)),
    "info.key": get(INFO, put("key", "info")),
    "info.public": get(INFO, drop("body.nickname")),
    "info.plugin-sdk": get(INFO, drop("body.plugin_sdk_version.full")),
    "info.private": get(INFO, put("body.firmware_version", "2.4.0")),
    "info.logged-in": get(INFO, drop("body.config_hash")),
    "info.firmware-version": get(INFO, put("body.firmware_version", "0.0.0")),
    "info.remaining-seconds": get(INFO, put("meta.remaining_seconds", "1200")),
    "info.user.name": get(USER, put("user.name", "another")),
    "info.user.endpoints": get(USER, put("endpoints.0.methods", "GET")),
    "info.user.aliases": get("/api/userinfo", status(404)),
    "info.health.numbers": get(HEALTH, put("health_status.load5", "0.1")),
    "info.health.tainted": get(HEALTH, drop("health_status.firmware.tainted_files.boot")),
    "info.health.integrity": get(HEALTH, put("health_status.firmware.integrity.core", "BROKEN")),
}
_ERRORS = {
    "errors.error": get(f"{FETCH}/.*", put("error", "not found")),
    "errors.type": get(f"{FETCH}/.*", put("error.type", "resource_not_found")),
    "errors.message": get(f"{FETCH}/.*", drop("error.message")),
    "errors.details": get(f"{FETCH}/.*", put("error.details", None)),
    "errors.meta": get(f"{FETCH}/.*", drop("meta")),
    "errors.unknown-key": get("/api/no-such-path", status(400)),
    "errors.wrong-method": alter("PUT", FETCH, header("Allow", None)),
    "errors.checksum-required": post(FETCH, status(202), content(ACCEPTED)),
    "errors.url-required": post(FETCH, status(202), content(ACCEPTED)),
    "errors.incomplete": post(FETCH, put("error.type", "Incomplete")),
    "errors.not-json": post(FETCH, status(415)),
    "errors.only-sha256": post(FETCH, status(202), content(ACCEPTED)),
    "errors.invalid": post(FETCH, status(422)),
}
_FETCH = {
    "fetch.post.202": post(FETCH, status(200)),
    "fetch.post.shape": post(FETCH, put("body", {})),
    "fetch.post.key": post(FETCH, put("key", "job-1")),
    "fetch.post.href": post(FETCH, put("meta.href", FETCH)),
    "fetch.post.parent": post(FETCH, put("meta.parent", FETCH)),
    "fetch.post.links": post(FETCH, put("meta.fetch", FETCH)),
    "fetch.post.location": post(FETCH, header("Location", None)),
    "fetch.post.form-label": post(FETCH, status(415)),
    "fetch.post.charset": post(FETCH, status(415)),
    "fetch.post.upper-case": post(FETCH, status(400)),
    "fetch.post.twice": post(FETCH, status(409)),
    "fetch.list.shape": get(FETCH, put("total", 0)),
    "fetch.list.meta": get(FETCH, put("meta.fetch", FETCH)),
    "fetch.list.holds": get(FETCH, put("items", [])),
    "fetch.list.item": get(FETCH, put("items.*.created", 0)),
    "fetch.list.item-meta": get(FETCH, put("items.*.meta.parent", FETCH)),
    "fetch.list.order": get(FETCH, reversed_items),
    "fetch.get.shape": get(JOB, drop("key")),
    "fetch.get.meta": get(JOB, put("meta.parent", FIRMWARE)),
    "fetch.get.as-listed": get(FETCH, put("items.*.body.bytes_total", 7)),
    "fetch.body.keys": everywhere(put("body.percent", 3), put("items.*.body.percent", 3)),
    "fetch.body.no-checksum": echo_checksum(),
    "fetch.body.url": get(JOB, put("body.url", "http://a.example/")),
    "fetch.body.bytes": get(JOB, put("body.bytes_total", None)),
    "fetch.body.start-time": get(JOB, replaced("+00:00", "Z")),
    "fetch.untrusted": alter_request("POST", FETCH, request_replaced("https:", "http:")),
}
_JOBS = {
    "job.queued": get(JOB, replaced('"queued"', '"waiting"')),
    "job.queued.nulls": get(JOB, put("body.info", "Waiting")),
    "job.queued.bytes": get(JOB, put("body.bytes_total", 1)),
    "job.queued.delete": get(JOB, replaced('"cancelled"', '"canceled"')),
    "job.running": get(JOB, replaced('"in-progress"', '"in_progress"')),
    "job.running.info": get(JOB, put("body.info", "Fetching")),
    "job.running.nulls": get(JOB, put("body.slot_id", 4)),
    "job.running.start": get(JOB, put("body.start_time", None)),
    "job.running.total": get(JOB, put("body.bytes_total", 0)),
    "job.running.bytes": get(JOB, all_bytes_downloaded),
    "job.running.delete": delete(JOB, status(409)),
    "job.cancelled.delete": delete(JOB, status(404)),
    "job.cancelled.body": get(JOB, put("body.error", "cancelled")),
    "job.cancelled.info": get(JOB, put("body.info", "Cancelled")),
    "job.failed": get(JOB, replaced('"failed"', '"error"')),
    "job.failed.digest": get(JOB, replaced('"failed"', '"finished"')),
    "job.failed.info": get(JOB, put("body.info", None)),
    "job.failed.error": get(JOB, put("body.error", None)),
    "job.failed.bytes": get(JOB, put("body.bytes_total", 5)),
    "job.failed.slot": get(JOB, put("body.start_time", None)),
    "job.failed.delete": delete(JOB, status(404)),
    "job.delete.answer": delete(JOB, status(204)),
    "job.removed.404": get(JOB, replaced("ResourceNotFound", "NoSuchFetch")),
    "job.finished": get(JOB, replaced('"finished"', '"done"')),
    "job.finished.nulls": get(JOB, put("body.info", "Done")),
    "job.finished.bytes": get(JOB, put("body.bytes_downloaded", 1)),
    "job.finished.slot-id": get(JOB, put("body.slot_id", "2")),
    "job.finished.link": get(FETCH, drop("items.*.meta.slot")),
    "job.finished.unchosen": get(SLOT, put("body.after_reboot", True)),
    "job.finished.record": delete(SLOT, status(409)),
    "job.finished.delete": delete(JOB, status(409)),
}
_SLOTS = {
    "slots.list.shape": get(SLOTS, put("body", {})),
    "slots.list.meta": get(SLOTS, drop("meta.current_slot")),
    "slots.list.count": get(SLOTS, put("meta.number_of_empty_slots", 2)),
    "slots.list.keys": get(SLOTS, put("items.0.key", 1)),
    "slots.list.item": get(SLOTS, drop("items.1.meta.href")),
    "slots.list.empty": get(SLOTS, put("items.*.body", {"version": None})),
    "slots.list.current": get(SLOTS, put("meta.current_slot", f"{SLOTS}/3")),
    "slots.list.next": get(SLOTS, put("meta.slot_after_reboot", None)),
    "slots.body.keys": get(SLOTS, drop("items.0.body.upgrade_news")),
    "slots.body.flags": get(SLOTS, put("items.0.body.current", "yes")),
    "slots.body.news": get(SLOTS, put("items.0.body.upgrade_news", [])),
    "slots.body.texts": get(SLOTS, put("items.0.body.version", None)),
    "slots.get": get(SLOT, put("body.version", "another")),
    "slots.get.meta": get(SLOT, put("meta.slots", SLOTS)),
    "slots.get.empty": get(SLOT, put("body", None)),
    "slots.get.unknown": get(f"{SLOTS}/.*", status(400)),
    "slots.no-write": post(SLOTS, status(200)),
    "slots.delete": delete(SLOT, status(404)),
    "slots.delete.count": get(SLOTS, put("meta.number_of_empty_slots", 3)),
    "slots.delete.answer": delete(SLOT, put("body", {})),
    "slots.delete.empty": delete(SLOT, status(200)),
    "slots.failed-takes-none": get(SLOTS, content("{}")),
}
_UPLOAD = {
    "upload.form": post(UPLOAD, status(415)),
    "upload.200": post(UPLOAD, status(201)),
    "upload.raw.iso": post(UPLOAD, status(415)),
    "upload.raw.octets": post(UPLOAD, status(406)),
    "upload.shape": post(UPLOAD, drop("body")),
    "upload.body": post(UPLOAD, put("body.size", 1)),
    "upload.key": post(UPLOAD, drop("meta.slot")),
    "upload.meta": post(UPLOAD, put("meta.parent", "/api/upload")),
    "upload.unchosen": post(UPLOAD, put("body.after_reboot", True)),
    "upload.not-an-image": post(UPLOAD, status(400)),
}
_TEST = {
    "test.incomplete": post(TEST, put("error.type", "Incomplete")),
    "test.incomplete.400": post(TEST, status(422)),
    "test.empty": post(TEST, put("error.type", "SlotEmpty")),
    "test.empty.404": post(TEST, status(409)),
    "test.post": post(TEST, status(405)),
    "test.200": post(TEST, status(201)),
    "test.shape": post(TEST, put("key", 2)),
    "test.string": post(TEST, status(400)),
    "test.dry": post(TEST, status(500)),
}
_UPGRADE = {
    "upgrade.incomplete": post(UPGRADE, put("error.type", "Incomplete")),
    "upgrade.empty": post(UPGRADE, put("error.type", "SlotEmpty")),
    "upgrade.message": post(UPGRADE, status(400)),
    "upgrade.200": post(UPGRADE, status(202)),
    "upgrade.shape": post(UPGRADE, drop("meta.slot")),
    "upgrade.chosen": get(SLOTS, replaced('"after_reboot":true', '"after_reboot":false')),
    "upgrade.link": get(SLOTS, put("meta.slot_after_reboot", None)),
    "upgrade.kept": delete(SLOT, status(200)),
    "upgrade.kept.409": delete(SLOT, status(400)),
}

ALTERATIONS: dict[str, tuple[Alteration, ...]] = {
    name: altered if isinstance(altered, tuple) else (altered,)
    for section in (
        _TRANSPORT,
        _AUTH,
        _MESSAGES,
        _INFO,
        _ERRORS,
        _FETCH,
        _JOBS,
        _SLOTS,
        _UPLOAD,
        _TEST,
        _UPGRADE,
    )
    for name, altered in section.items()
}

_FULL = {
    "after_reboot": False,
    "current": False,
    "upgrade_news": None,
    "upgrade_notes": "",
    "version": "9",
}
STILL_THERE = (
    '{"key": "k", "meta": {}, "body": {"status": "cancelled", "error": null, "slot_id": null}}'
)
LATE_ALTERATIONS: list[tuple[str, tuple[Alteration, ...]]] = [
    ("test.dry", later("POST", TEST, SLOTS, put("meta.slot_after_reboot", f"{SLOTS}/9"))),
    ("job.finished.record", later("DELETE", SLOT, JOB, put("body.slot_id", None))),
    (
        "job.finished.unchosen",
        later("POST", FETCH, SLOTS, put("meta.slot_after_reboot", "/9")),
    ),
    ("job.finished.delete", later("DELETE", JOB, JOB, status(200), content(STILL_THERE))),
    ("job.failed.delete", later("DELETE", JOB, JOB, status(200), content(STILL_THERE))),
    ("job.cancelled.delete", later("DELETE", JOB, JOB, status(200), content(STILL_THERE))),
    ("job.queued.delete", later("DELETE", JOB, JOB, replaced("cancelled", "queued"))),
    ("job.running.delete", later("DELETE", JOB, JOB, replaced("cancelled", "failed"))),
    ("slots.delete", later("DELETE", SLOT, SLOTS, put("items.*.body", _FULL))),
    ("slots.failed-takes-none", later("POST", FETCH, SLOTS, put("items.3.body", _FULL))),
    ("upgrade.kept", later("DELETE", SLOT, SLOTS, put("items.*.body", {}))),
    ("upload.form", later("POST", UPLOAD, SLOTS, put("items.*.body", {}))),
    ("auth.log-out", (delete(LOG_IN, header("Set-Cookie", None)), get(FETCH, status(200)))),
    ("fetch.post.key", (post(FETCH, put("key", 7)),)),
    ("errors.type", (get(f"{FETCH}/.*", drop("error.type")),)),
    ("slots.no-write", (alter("PUT", f"{SLOTS}/.*", status(200)),)),
]
"""More ways to break a fact: most of these servers are right at first and wrong later."""
