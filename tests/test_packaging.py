"""The wheel, installed into fresh virtual environments outside the checkout."""

import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from testbed import needs

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(300)


def run(*command, **options):
    """The standard output of a command that must succeed."""
    return subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, text=True, **options
    ).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ROOT)
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The directory with the commands of a fresh environment outside the checkout."""
    directory = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", directory)
    run(directory / "bin" / "python", "-m", "pip", "install", "--quiet", wheel)
    return directory / "bin"


def test_the_wheel_has_migrations_pages_licence_and_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for migration in (ROOT / "migrations").glob("*.sql"):
        assert f"spsd/migrations/{migration.name}" in names
    assert "spsd/py.typed" in names
    swagger = ("index.html", "start.js", "swagger-ui-bundle.js", "swagger-ui.css", "LICENSE")
    assert {f"spsd/web/swagger/{name}" for name in swagger} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith("tests/") for name in names)


def test_the_extra_has_all_that_the_harness_needs(wheel, tmp_path):
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[testing]")
    (tmp_path / "test_example.py").write_text(
        "from hypothesis import given, settings\n"
        "from spsd.testing.machine import FirmwareMachine\n"
        "from spsd.testing.strategies import fetch_bodies\n"
        "pytest_plugins = ['spsd.testing.plugin']\n"
        "@given(fetch_bodies())\n"
        "def test_bodies(body):\n"
        "    assert set(body) == {'url', 'checksum'}\n"
        "def test_daemon(spsd_daemon, hostile_origin):\n"
        "    assert spsd_daemon.client().call('GET', '/api/firmware/fetch').status == 200\n"
        "class TestAll(FirmwareMachine.TestCase):\n"
        "    settings = settings(max_examples=1, stateful_step_count=3, deadline=None)\n"
    )
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    output = run(python, "-m", "pytest", "-q", "test_example.py", cwd=tmp_path, env=environ)
    assert "3 passed" in output
    listed = run(environment / "bin" / "spsd-conformance", "--list", cwd=tmp_path, env=environ)
    assert "fetch.post.202" in listed


@needs.program("curl")
def test_an_installed_daemon_serves_and_stops(installed, tmp_path):
    config = tmp_path / "spsd.toml"
    config.write_text(
        f'[server]\nhost = "127.0.0.1"\nport = 0\n[state]\ndirectory = "{tmp_path}/state"\n'
    )
    # The environment must not lead to the checkout.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    add = (installed / "spsd", "user", "add", "ann", "--password-stdin", "--config", config)
    run(*add, input="a long password\n", cwd=tmp_path, env=environ)
    with subprocess.Popen(
        [installed / "spsd", "serve", "--config", config],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            ready = re.fullmatch(r"spsd ready on (https://127\.0\.0\.1:\d+)\n", line)
            assert ready is not None, line
            status = run(
                *("curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"),
                *("--cacert", tmp_path / "state" / "tls" / "certificate.pem"),
                *("-u", "ann:a long password", f"{ready[1]}/api/authentication"),
            )
            assert status == "200"
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            process.kill()


def test_without_the_extra_the_conformance_run_names_it(installed, tmp_path):
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [installed / "spsd-conformance", "--list"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "install it with: pip install 'spsd[testing]'" in done.stderr
