"""The role, run in a mount namespace: everything is real but systemd, which does not run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spsd.testing.daemon import PASSWORD, USER
from testbed import needs
from testbed.fleet_site import COLLECTION, ROOT, Site

ROLE = COLLECTION / "roles" / "install_spsd"

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("name", ["spsd.service", "spsd.sysusers"])
def test_the_files_of_the_role_are_those_of_spsd(name: str) -> None:
    assert (ROLE / "files" / name).read_bytes() == (ROOT / "systemd" / name).read_bytes()


PREPARE = """
set -eu
mount --make-rprivate /
for name in etc usr opt var; do
    mkdir -p "$1/$name/upper" "$1/$name/work"
    layers="lowerdir=/$name,upperdir=$1/$name/upper,workdir=$1/$name/work"
    mount -t overlay overlay -o "$layers" "/$name"
done
shift
exec "$@"
"""
"""A script that runs its arguments over overlay mounts, whose changes go to a directory."""


class Host:
    """This machine's file system as an overlay: the role's changes are written below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.site = Site(root, {})

    def command(self, *arguments: object) -> list[str]:
        prepare = ("unshare", "-m", "sh", "-c", PREPARE, "sh", self.root / "disk")
        return [*map(str, (*prepare, *arguments))]

    def play(self, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        inventory = self.root / "inventory.json"
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory.write_text(json.dumps({"appliances": {"hosts": {"this": host}}}))
        options = ("-i", inventory, *arguments, "-e", json.dumps(variables))
        return subprocess.run(
            self.command(
                Path(sys.executable).parent / "ansible-playbook", "spsd.appliance.install", *options
            ),
            # With this systemctl only writes links, and starts nothing.
            env=self.site.environ | {"SYSTEMD_OFFLINE": "1"},
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def file(self, path: str) -> Path:
        """A file that the role has written."""
        top, _, rest = path.lstrip("/").partition("/")
        return self.root / "disk" / top / "upper" / rest


@pytest.fixture
def host(tmp_path: Path) -> Host:
    overlay = Host(tmp_path)
    needs.now(needs.root())
    needs.now(needs.program("unshare", "systemd-sysusers"))
    mounted = subprocess.run(overlay.command("true"), check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        needs.skip(f"overlay mounts: {mounted.stderr.strip()}")
    return overlay


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = (
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        directory,
        ROOT,
    )
    subprocess.run(build, check=True, capture_output=True)
    [path] = directory.glob("*.whl")
    return path


def variables(wheel: Path) -> dict[str, object]:
    return {
        "spsd_wheel": str(wheel),
        "spsd_packages": [],
        "spsd_python": sys.executable,
        "spsd_settings": {
            "server": {"host": "127.0.0.1", "port": 0, "plain_http": True},
            "fetch": {"allow": ["127.0.0.0/8"], "start_spread_s": 30.0},
            "slots": {"accept": "any"},
        },
        "spsd_users": [{"name": USER, "password": PASSWORD}],
    }


def test_check_mode_on_a_host_without_spsd(host: Host, tmp_path: Path) -> None:
    wheel = tmp_path / "spsd-0.1.0-py3-none-any.whl"
    wheel.touch()
    checked = host.play("--check", "--diff", **variables(wheel))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for line in ('+host = "127.0.0.1"', "+plain_http = true", '+allow = ["127.0.0.0/8"]'):
        assert line in checked.stdout
    assert PASSWORD not in checked.stdout
    assert not host.file("/etc/spsd").exists()
    assert not host.file("/opt/spsd").exists()


def test_spsd_is_installed_on_a_host(
    host: Host, wheel: Path, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("installs everything from PyPI, which takes minutes: --long")
    given = variables(wheel)
    done = host.play(**given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout
    assert host.file("/usr/lib/systemd/system/spsd.service").exists()
    enabled = host.file("/etc/systemd/system/multi-user.target.wants/spsd.service")
    assert str(enabled.readlink()) == "/lib/systemd/system/spsd.service"
    assert "start_spread_s = 30.0" in host.file("/etc/spsd/spsd.toml").read_text()
    assert host.file("/etc/spsd/spsd.toml").stat().st_mode & 0o777 == 0o640
    assert "spsd:" in host.file("/etc/passwd").read_text()

    again = host.play(**given)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "changed=0 " in again.stdout, again.stdout

    command = host.command("spsd", "serve", "--config", "/etc/spsd/spsd.toml")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        url = daemon.stdout.readline().split()[-1]
        options = {"api_url": url, "username": USER, "password": PASSWORD}
        try:
            assert host.site.module("firmware_slot_info", **options)["empty_slots"] == 5
        finally:
            daemon.terminate()

    before = host.file("/etc/spsd/spsd.toml").read_text()
    given["spsd_settings"] = {"fetch": {"conections": 4}}
    wrong = host.play("--start-at-task", "Write the configuration", **given)
    assert wrong.returncode != 0
    assert "conections" in wrong.stdout, "the daemon's own check reports it"
    assert host.file("/etc/spsd/spsd.toml").read_text() == before
