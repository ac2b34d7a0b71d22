"""The configuration: a TOML file becomes frozen settings, checked once, when the daemon starts.

A missing key has its documented default; a key that is misspelt or holds a bad value is an error
that names the file and the key. docs/settings.md is printed from here.
"""

from spsd.config.loading import fingerprint_of, load, metrics_token
from spsd.config.settings import (
    FetchSettings,
    LogSettings,
    MetricsSettings,
    ServerSettings,
    Settings,
    SlotSettings,
    StateSettings,
    UpgradeSettings,
)
from spsd.config.table import reference

__all__ = [
    "FetchSettings",
    "LogSettings",
    "MetricsSettings",
    "ServerSettings",
    "Settings",
    "SlotSettings",
    "StateSettings",
    "UpgradeSettings",
    "fingerprint_of",
    "load",
    "metrics_token",
    "reference",
]
