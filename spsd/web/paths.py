"""Where everything stands; only ``/api/authentication`` never changes. [documented]."""

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
STYLE = "/api/docs.css"
METRICS = "/metrics"


def slot_path(slot: int) -> str:
    """The link to a slot."""
    return f"{SLOTS}/{slot}"


def manifest_path(slot: int) -> str:
    """The link to what was proven of a slot's image."""
    return f"{slot_path(slot)}/manifest"
