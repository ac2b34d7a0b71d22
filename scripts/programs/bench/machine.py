"""The facts of the machine that a reader needs to judge the figures."""

import os
import platform
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from scripts.programs.bench import tools
from scripts.programs.bench.workspace import file_system
from spsd import __version__


def facts(directory: Path, python: Path, floor: str) -> Mapping[str, str]:
    """Date, versions, processor, memory, system with file system, load, and peers, by name."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    has_sha = re.search(r"^flags\s*:.* sha_ni\b", text, re.MULTILINE)
    load = os.getloadavg()[0]
    versions = tools.versions(["curl", "wget", "aria2c", "openssl", "nginx"])
    programs = {**versions, **tools.libraries(python)}
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "spsd": f"{__version__}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}",
        "processor": f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores,"
        f" {'with' if has_sha else 'without'} SHA instructions",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"Linux {platform.release()}, {file_system(directory)}",
        "load before": f"{load:.1f}",
        "peers": ", ".join(f"{name} {version}" for name, version in programs.items()),
        "floor": f"in {floor}",
    }
