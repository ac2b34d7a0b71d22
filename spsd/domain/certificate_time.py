"""Evidence for a certificate that failed on time: its dates, our clock, and the origin's."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate holds, UTC."""

    begins: datetime
    ends: datetime


def time_evidence(
    validity: Validity | None, *, ours: datetime, date: str | None
) -> dict[str, str | int]:
    """What a person needs to tell an old certificate from a wrong clock.

    ``date`` is the origin's Date (RFC 9110 section 6.6.1), None if it sent none. The offset is in
    seconds: how far our clock is ahead of the origin's, negative if it is behind.
    """
    dates: dict[str, str | int] = {}
    if validity is not None:
        dates = {
            "certificate valid from": _shown(validity.begins),
            "until": _shown(validity.ends),
        }
    dates["our clock"] = _shown(ours)
    theirs = _parsed(date)
    if theirs is not None:
        dates["ahead of the origin's by seconds"] = round((ours - theirs).total_seconds())
    return dates


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(date: str | None) -> datetime | None:
    if date is None:
        return None
    try:
        parsed = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # a time zone may be any number
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
