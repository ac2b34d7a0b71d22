"""Paths and links: absolute paths without scheme and host. [seen in sample]."""

from typing import Annotated

from msgspec import Meta

from spsd.web.responses import Shape

ROOT = "/api"
LOG_IN = "/api/authentication"
LOGIN_METHODS = "/api/authentication/login_methods"
LOGIN_TYPES = "/api/authentication/types"
INFO = "/api/info"
USER_INFO = "/api/user_info"
USER_INFO_ALIASES = ("/api/user/info", "/api/userinfo", "/api/endpoints")
HEALTH = "/api/health_status"
FIRMWARE = "/api/firmware"
FETCH = "/api/firmware/fetch"
SLOTS = "/api/firmware/slots"
TEST = "/api/firmware/test"
UPGRADE = "/api/firmware/upgrade"
UPLOAD = "/api/upload/firmware"
OPENAPI = "/api/openapi.json"
DOCS = "/api/docs"
METRICS = "/metrics"


def slot_path(slot: int) -> str:
    """The path of a slot."""
    return f"{SLOTS}/{slot}"


def manifest_path(slot: int) -> str:
    """The path of the manifest of a slot's image."""
    return f"{slot_path(slot)}/manifest"


Href = Annotated[str, Meta(description="The path of this resource.")]
Parent = Annotated[str, Meta(description="The path of the enclosing resource.")]


class ResourceMeta(Shape):
    """Links of a resource."""

    href: Href
    parent: Parent


class RootMeta(Shape):
    """Links of the root, which has no parent."""

    href: Href
    parent: None = None


class SiblingsMeta(Shape, kw_only=True):
    """Links of a firmware resource, and to the other firmware resources."""

    href: Href
    parent: Parent
    slots: str = SLOTS
    test: str = TEST
    upgrade: str = UPGRADE


class FirmwareMeta(SiblingsMeta, kw_only=True):
    """Links to all firmware resources."""

    fetch: str = FETCH


class PlainMeta(Shape):
    """Links of a resource without a documented parent."""

    href: Href
