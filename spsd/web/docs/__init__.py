"""The API's description as a page to read, rendered on the server without a script."""

from spsd.web.docs.page import page, style

__all__ = ["page", "style"]
