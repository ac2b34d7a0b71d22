"""The machine that the daemon runs on: how busy it is, and what it is called."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """``cpu``, ``disk``, ``memory`` and ``swap`` in percent; ``load1`` to ``load15`` as uptime(1).

    ``disk`` is the file system of the state directory.
    """

    cpu: float
    disk: float
    memory: float
    swap: float
    load1: float
    load5: float
    load15: float


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Processor seconds since boot, of all processors together."""

    busy: float
    total: float


BOOT = CpuTime(busy=0, total=0)


def busy_percent(before: CpuTime, after: CpuTime) -> float:
    """How busy the processors were meanwhile; 0 if no time has passed."""
    total = after.total - before.total
    if total <= 0:
        return 0.0
    # The kernel may take back some idle time that it had counted.
    share = min(max((after.busy - before.busy) / total, 0.0), 1.0)
    return round(100 * share, 1)


@dataclass(frozen=True, slots=True)
class HostName:
    """Both parts of a full name; ``domainname`` is empty where there is none."""

    hostname: str
    domainname: str


def host_name(full: str, resolver: str) -> HostName:
    """Split what the machine calls itself; a bare name gets the domain of ``resolv.conf``."""
    hostname, _, domain = full.rstrip(".").partition(".")
    return HostName(hostname, domain or search_domain(resolver))


def search_domain(resolver: str) -> str:
    """The first domain that ``resolv.conf`` completes names with; empty if it names none.

    As in resolv.conf(5): a keyword starts its line, and the last ``domain`` or ``search`` counts.
    """
    words = (line.split() for line in resolver.splitlines() if not line[:1].isspace())
    lists = [line[1:] for line in words if line and line[0] in {"domain", "search"}]
    named = lists[-1] if lists else []
    return named[0].strip(".") if named else ""
