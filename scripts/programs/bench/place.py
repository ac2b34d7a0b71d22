"""Where it is measured: a directory with random objects, and nginx that serves them on loopback."""

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

from scripts.programs.bench.measuring import MIB, BenchError
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
    """An object on a server. ``authority``: the certificate that vouches for the server."""

    url: str
    sha256: str
    size: int
    authority: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of one benchmark; ``objects`` are served."""

    root: Path

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """An empty directory for results, gone at the end; nobody pays for what was before."""
        os.sync()
        with tempfile.TemporaryDirectory(prefix="results-", dir=self.root) as directory:
            yield Path(directory)

    @contextmanager
    def serving(self, *, tls: bool = False, stalls_after: int = 0) -> Iterator["Server"]:
        """nginx with the objects; below ``/stalls/`` next to nothing comes after that many bytes.

        Raises:
            BenchError: there is no nginx.
        """
        kind = KINDS["nginx"]
        if kind.path is None:
            raise BenchError("nginx is not installed")
        # As whoever runs this: nobody else need be able to enter the directory.
        user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
        objects = str(self.objects).replace("{", "{{").replace("}", "}}")
        text = _CONFIGURATION.format(user=user, objects=objects, stalls_after=stalls_after)
        keys = ensure_self_signed(self.root / "keys", hostname="localhost") if tls else None
        with serving(replace(kind, configuration=text), keys=keys, as_nobody=False) as server:
            scheme = "https" if tls else "http"
            yield Server(self, f"{scheme}://127.0.0.1:{server.port}", keys[0] if keys else None)


@dataclass(frozen=True, slots=True)
class Server:
    """nginx over the place's objects; ``authority`` is its certificate, if it has one."""

    place: Place
    base: str
    authority: Path | None

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def source(self, name: str, size: int) -> Source:
        """That object, made if it is not there."""
        path = self.place.objects / name
        sha256 = make_object(path, size)
        return Source(f"{self.base}/{name}", sha256, size, self.authority)


def make_object(path: Path, size: int) -> str:
    """Write random bytes, the same ones for the same name; gives their SHA-256.

    What is there in that size is taken for the object.
    """
    note = path.with_name(f".{path.name}.sha256")
    if path.exists() and path.stat().st_size == size and note.exists():
        return note.read_text(encoding="ascii")
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
    note.write_text(digest.hexdigest(), encoding="ascii")
    return digest.hexdigest()


def file_system(directory: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system under a directory, as the kernel names it."""
    found = {}
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split(" ")
        found[Path(point.encode().decode("unicode_escape"))] = kind
    listed = (found[at] for at in (directory, *directory.parents) if at in found)
    return next(listed, None) or _by_magic(directory)


def _by_magic(directory: Path) -> str:
    """By the file system's own number: in a chroot the one of `/` need not be among the mounts."""
    told = subprocess.run(
        ["stat", "--file-system", "--format=%T", directory],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()
