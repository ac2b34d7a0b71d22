"""The ``meta`` of answers: links are absolute paths with no scheme or host. [seen in sample]."""

from typing import Annotated

from msgspec import Meta

from spsd.web.answers import Shape
from spsd.web.paths import FETCH, SLOTS, TEST, UPGRADE

Href = Annotated[str, Meta(description="The path of this resource.")]
Parent = Annotated[str, Meta(description="The path of the enclosing resource.")]


class ResourceMeta(Shape):
    """Where a resource stands."""

    href: Href
    parent: Parent


class RootMeta(Shape):
    """The root stands in nothing."""

    href: Href
    parent: None = None


class SiblingsMeta(Shape, kw_only=True):
    """Where a resource stands, and the other firmware resources."""

    href: Href
    parent: Parent
    slots: str = SLOTS
    test: str = TEST
    upgrade: str = UPGRADE


class FirmwareMeta(SiblingsMeta, kw_only=True):
    """All firmware resources."""

    fetch: str = FETCH


class PlainMeta(Shape):
    """A resource without a known parent."""

    href: Href
