"""nginx, Apache and lighttpd as child processes of a test, each on a free port."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 15
NGINX = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    log_format requests '$status "$http_range" "$http_if_range"';
    access_log {directory}/access.log requests;
    default_type application/octet-stream;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port}{tls};
        {keys}
        root {directory}/www;
        absolute_redirect off;
        location = /old.iso {{ return 302 /image.iso; }}
    }}
}}
"""
APACHE = """\
ServerRoot {directory}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {directory}/apache.pid
DefaultRuntimeDir {directory}
ErrorLog {directory}/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
DocumentRoot {directory}/www
<Directory {directory}/www>
    Require all granted
</Directory>
"""
LIGHTTPD = """\
server.document-root = "{directory}/www"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{directory}/error.log"
# With the cache it would serve a replaced file for a second or two more.
server.stat-cache-engine = "disable"
# A file whose type lighttpd does not know has neither ETag nor Last-Modified.
mimetype.assign = (".iso" => "application/x-iso9660-image")
"""


@dataclass(frozen=True)
class Kind:
    """A server program: its configuration template, and the arguments to run in the foreground."""

    program: str
    configuration: str
    arguments: Callable[[Path], list[str]]

    @property
    def path(self) -> str | None:
        """The path of the program; None if it is not installed."""
        return shutil.which(self.program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


KINDS = {
    "nginx": Kind("nginx", NGINX, lambda file: ["-c", str(file), "-e", "stderr"]),
    "apache2": Kind("apache2", APACHE, lambda file: ["-f", str(file), "-D", "FOREGROUND"]),
    "lighttpd": Kind("lighttpd", LIGHTTPD, lambda file: ["-D", "-f", str(file)]),
}


class Server:
    """A server process with a document root and a process group of its own."""

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        keys: tuple[Path, Path] | None,
        *,
        as_nobody: bool = True,
    ) -> None:
        self._kind = kind
        self._directory = directory
        # None of these servers is meant to serve files as root, and Apache refuses to.
        self._as_nobody = as_nobody and os.geteuid() == 0
        self._process: subprocess.Popen[bytes] | None = None
        self.root = directory / "www"
        self.root.mkdir()
        self.port = _free_port()
        fields = {"directory": directory, "port": self.port, "tls": "", "keys": ""}
        if keys is not None:
            copies = [shutil.copy(key, directory) for key in keys]
            names = zip(("ssl_certificate", "ssl_certificate_key"), copies, strict=True)
            fields |= {"tls": " ssl", "keys": " ".join(f"{name} {copy};" for name, copy in names)}
        self._file = directory / "server.conf"
        self._file.write_text(kind.configuration.format(**fields), encoding="utf-8")

    def put(self, name: str, content: bytes, *, age_s: int = 3600) -> None:
        """Serve an object under a name; a rename replaces an older one.

        The file is dated ``age_s`` seconds back: Apache gives a file younger than 1 s a weak ETag.
        """
        new = self._directory / "new"
        new.write_bytes(content)
        changed_at = time.time() - age_s
        os.utime(new, (changed_at, changed_at))
        new.chmod(0o644)
        new.replace(self.root / name)

    def log(self) -> list[str]:
        """The lines of nginx's access log."""
        return (self._directory / "access.log").read_text(encoding="utf-8").splitlines()

    def start(self) -> None:
        """Start the server and wait until it accepts connections, for at most START_S."""
        assert self._kind.path is not None
        if self._as_nobody:
            _give_to_nobody(self._directory)
        nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        user = nobody if self._as_nobody else {}
        with (self._directory / "stderr").open("ab") as errors:
            self._process = subprocess.Popen(
                [self._kind.path, *self._kind.arguments(self._file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                **user,
            )
        deadline = time.monotonic() + START_S
        while not _listens(self.port):
            errors_text = (self._directory / "stderr").read_text(encoding="utf-8")
            assert self._process.poll() is None, errors_text
            assert time.monotonic() < deadline, errors_text
            time.sleep(0.02)  # no server reports when it listens

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal to the server's process group and wait for its end, at most 10 s."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            os.killpg(process.pid, number)
            process.wait(10)


@contextmanager
def serving(
    kind: Kind, *, keys: tuple[Path, Path] | None = None, as_nobody: bool = True
) -> Iterator[Server]:
    """A started server; it is ended, and its directory removed, with the context."""
    # Not below pytest's directory, which only the owner may enter.
    directory = Path(tempfile.mkdtemp(prefix="spsd-server-"))
    server = None
    try:
        directory.chmod(0o755)
        server = Server(kind, directory, keys, as_nobody=as_nobody)
        server.start()
        yield server
    finally:
        if server is not None:
            server.end()
        shutil.rmtree(directory)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def _give_to_nobody(directory: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
