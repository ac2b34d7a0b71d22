"""The directory of a benchmark with its random objects, and nginx that serves them on loopback."""

import hashlib
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from scripts.programs.bench.samples import MIB, BenchError
from spsd.system.certificate import ensure_self_signed
from testbed.servers import KINDS, serving

_CONFIGURATION: Final = """\
daemon off;
{user}
worker_processes 1;
pid {{directory}}/nginx.pid;
error_log stderr;
events {{{{}}}}
http {{{{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    client_body_temp_path {{directory}}/body;
    proxy_temp_path {{directory}}/proxy;
    fastcgi_temp_path {{directory}}/fastcgi;
    uwsgi_temp_path {{directory}}/uwsgi;
    scgi_temp_path {{directory}}/scgi;
    server {{{{
        listen 127.0.0.1:{{port}}{{tls}};
        {{keys}}
        root "{objects}";
        location /stalls/ {{{{
            alias "{objects}/";
            limit_rate_after {stalls_after};
            limit_rate 1k;
        }}}}
    }}}}
}}}}
"""


@dataclass(frozen=True, slots=True)
class Source:
    """An object on a server; ``authority`` is the certificate with which to verify the server."""

    url: str
    sha256: str
    size: int
    authority: Path | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory of one benchmark; ``objects`` are served."""

    root: Path

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """An empty directory for results, removed at the end.

        Earlier writes are synced first, so that they do not slow down this run.
        """
        os.sync()
        with tempfile.TemporaryDirectory(prefix="results-", dir=self.root) as directory:
            yield Path(directory)

    @contextmanager
    def serving(self, *, tls: bool = False, stalls_after: int = 0) -> Iterator["Server"]:
        """nginx with the objects; below ``/stalls/`` the rate is 1 KiB/s after ``stalls_after``.

        Raises:
            BenchError: there is no nginx.
        """
        kind = KINDS["nginx"]
        if kind.path is None:
            raise BenchError("nginx is not installed")
        # As the user of this process, so that no other user needs access to the directory.
        user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
        objects = str(self.objects).replace("{", "{{").replace("}", "}}")
        text = _CONFIGURATION.format(user=user, objects=objects, stalls_after=stalls_after)
        keys = ensure_self_signed(self.root / "keys", hostname="localhost") if tls else None
        with serving(replace(kind, configuration=text), keys=keys, as_nobody=False) as server:
            scheme = "https" if tls else "http"
            yield Server(self, f"{scheme}://127.0.0.1:{server.port}", keys[0] if keys else None)


@dataclass(frozen=True, slots=True)
class Server:
    """nginx over the objects of a workspace; ``authority`` is its certificate, None without TLS."""

    workspace: Workspace
    base: str
    authority: Path | None

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def source(self, name: str, size: int) -> Source:
        """The object of that name, made unless it exists in that size."""
        path = self.workspace.objects / name
        sha256 = make_object(path, size)
        return Source(f"{self.base}/{name}", sha256, size, self.authority)


def make_object(path: Path, size: int) -> str:
    """Write pseudo-random bytes, the same for the same name; gives their SHA-256.

    A file that exists in that size is taken for the object.
    """
    digest_file = path.with_name(f".{path.name}.sha256")
    if path.exists() and path.stat().st_size == size and digest_file.exists():
        return digest_file.read_text(encoding="ascii")
    path.parent.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(path.name.encode()).digest()
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for offset in range(0, size, MIB):
            block = stream.update(bytes(min(MIB, size - offset)))
            digest.update(block)
            file.write(block)
        os.fsync(file.fileno())
    digest_file.write_text(digest.hexdigest(), encoding="ascii")
    return digest.hexdigest()


def file_system(directory: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system under a directory, as the kernel names it."""
    mounted = {}
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split(" ")
        mounted[Path(point.encode().decode("unicode_escape"))] = kind
    listed = (mounted[path] for path in (directory, *directory.parents) if path in mounted)
    return next(listed, None) or _by_magic(directory)


def _by_magic(directory: Path) -> str:
    """The type by the file system's magic number: in a chroot `/` may not be among the mounts."""
    stat = subprocess.run(
        ["stat", "--file-system", "--format=%T", directory],
        capture_output=True,
        text=True,
        check=True,
    )
    return stat.stdout.strip()
