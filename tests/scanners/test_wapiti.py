"""wapiti (Debian), a scanner of web applications, has no finding, with and without a session."""

import json
import subprocess
from pathlib import Path

import pytest

from spsd.testing.daemon import DaemonProcess
from testbed import needs
from testbed.needs import find_program

pytestmark = [needs.program("wapiti"), pytest.mark.timeout(180)]

MODULES = (
    "backup,blindsql,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,methods,"
    "permanentxss,redirect,shellshock,sql,xss"
)
"""All modules that need neither a server of wapiti's authors nor a database from the network."""
PATHS = (
    "/",
    "/api/docs",
    "/api/openapi.json",
    "/api/authentication",
    "/api/info",
    "/api/health_status",
    "/api/firmware/fetch?limit=3&status=failed&wait=0",
    "/api/firmware/fetch/0123456789abcdef",
    "/api/firmware/slots",
)


@pytest.mark.parametrize("with_session", [False, True], ids=["anonymous", "admin"])
def test_wapiti_has_no_finding(with_session: bool, tmp_path: Path) -> None:
    program = find_program("wapiti")
    assert program is not None
    with DaemonProcess(tmp_path, {"server": {"plain_http": False}}) as daemon:
        cookie = daemon.client().cookie
        fields = ["--header", f"Cookie: {cookie}"] if with_session else []
        start = [word for path in PATHS for word in ("--start", f"{daemon.url}{path}")]
        report = tmp_path / "report.json"
        done = subprocess.run(
            [
                *(program, "--url", f"{daemon.url}/", *start, *fields),
                *("--module", MODULES, "--verify-ssl", "0", "--flush-session"),
                *("--scope", "domain", "--format", "json", "--output", str(report)),
            ],
            capture_output=True,
            text=True,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            check=False,
            timeout=150,
        )
        assert report.exists(), done.stdout + done.stderr
        found = json.loads(report.read_text())
    findings = [
        (category, finding["method"], finding["path"], finding["info"])
        for kind in ("vulnerabilities", "anomalies", "additionals")
        for category, rows in found[kind].items()
        for finding in rows
    ]
    assert findings == []
