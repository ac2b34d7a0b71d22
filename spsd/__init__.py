"""spsd: the firmware daemon of a lab appliance."""

__version__ = "0.1.0"
