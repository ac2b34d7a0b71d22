"""scripts/fresh: what it reads of the machine, and what it refuses. CI runs it for real."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.programs.fresh import host as fresh_host
from scripts.programs.fresh import run as fresh_run

ROOT = Path(__file__).resolve().parent.parent


def fresh(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "scripts" / "fresh", *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_tells_of_it() -> None:
    told = fresh("--help")
    assert told.returncode == 0
    for word in ("bookworm", "trixie", "--all", "--keep", "python3-venv"):
        assert word in told.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["buster"], "invalid choice: 'buster'"), (["--whatever"], "unrecognized arguments")],
)
def test_nonsense_is_refused(arguments: list[str], said: str) -> None:
    told = fresh(*arguments)
    assert told.returncode == 2
    assert said in told.stderr
    assert "Traceback" not in told.stderr


def test_what_is_missing_is_told_in_one_line(tmp_path: Path) -> None:
    """As root the programs; else that nobody but root can do it."""
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    told = fresh(PATH=str(tmp_path))
    assert told.returncode == 2
    assert told.stdout == ""
    missing = "needs mmdebstrap (Debian: mmdebstrap)" if os.geteuid() == 0 else "needs root"
    assert told.stderr.startswith(f"fresh: {missing}")
    assert told.stderr.count("\n") == 1


def test_others_than_root_are_told_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert fresh_run.main(["trixie"]) == 2
    assert capsys.readouterr().err == "fresh: needs root: it makes a Debian system and enters it\n"


@pytest.mark.parametrize(
    ("program", "package"), [("mmdebstrap", "mmdebstrap"), ("unshare", "util-linux")]
)
def test_each_program_has_its_package(program: str, package: str) -> None:
    lacks = fresh_run.missing(0, lambda name: None if name == program else f"/usr/bin/{name}")
    assert lacks == f"needs {program} (Debian: {package})"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("1071 passed in 20.02s\n", "1,071 passed"),
        (
            "= 2 failed, 3012 passed, 14 skipped in 99.9s (0:01:39) =\n",
            "3,012 passed, 2 failed, 14 skipped",
        ),
        ("= 30 passed, 2 errors in 9.0s =\nalone\n= 4 passed in 1.2s =\n", "34 passed, 2 error"),
        ("E  assert 3 passed in 9.0s\n= 1 error in 0.3s =", "1 error"),
        ("bash: no such file\n", ""),
    ],
)
def test_pytest_s_last_line(output: str, told: str) -> None:
    assert fresh_run.counts(output) == told


def test_settings_of_packages_and_trust_are_passed_on_and_no_others() -> None:
    given = {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_CONFIG_FILE": "/root/pip.conf",
        "https_proxy": "http://proxy.example:3128",
        "NO_PROXY": "localhost",
        "SSL_CERT_FILE": "/etc/ssl/all.pem",
        "HOME": "/root",
        "PYTHONPATH": "/somewhere",
    }
    passed = fresh_host.passed_on(given)
    assert set(passed) == {"PIP_INDEX_URL", "https_proxy", "NO_PROXY", "SSL_CERT_FILE"}


def test_pip_s_files_are_merged_and_the_users_wins(tmp_path: Path) -> None:
    everybody, home = tmp_path / "xdg", tmp_path / "home"
    for file, text in {
        everybody / "pip" / "pip.conf": "[global]\ntimeout = 5\ncert = /a.pem\n",
        home / ".config" / "pip" / "pip.conf": "[global]\ntimeout = 9\n[install]\npre = yes\n",
    }.items():
        file.parent.mkdir(parents=True)
        file.write_text(text)
    environ = {"XDG_CONFIG_DIRS": str(everybody)}
    files = [one for one in fresh_host.pip_files(environ, home) if one != Path("/etc/pip.conf")]
    merged = fresh_host.pip_settings(files)
    assert dict(merged["global"]) == {"timeout": "9", "cert": "/a.pem"}
    assert dict(merged["install"]) == {"pre": "yes"}
    assert fresh_host.pip_files({"PIP_CONFIG_FILE": os.devnull}, home) == []


def test_local_directories_that_settings_name_are_found(tmp_path: Path) -> None:
    index, wheels = tmp_path / "index" / "simple", tmp_path / "wheels"
    index.mkdir(parents=True)
    wheels.mkdir()
    values = [
        f"https://pypi.example/simple file://{index}",
        f"{wheels} {tmp_path}/nowhere",
        "/dev/null",
        "wheels",
        "5",
    ]
    # The pages of an index link to what is beside it.
    assert fresh_host.local_paths(values) == [index.parent, wheels]


def test_this_machine_s_mirror_serves_both_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = (
        "Debian cdrom:[Debian 12]/\n"
        "Debian http://mirror.example/debian/\n"
        "Debian-Security https://mirror.example/security/\n"
        "nodistro https://elsewhere.example/\n"
    )
    monkeypatch.setattr(fresh_host, "_output", lambda *_: lists)
    assert fresh_host.sources("trixie") == [
        "deb http://mirror.example/debian/ trixie main",
        "deb http://mirror.example/debian/ trixie-updates main",
        "deb https://mirror.example/security/ trixie-security main",
    ]
    monkeypatch.setattr(fresh_host, "_output", lambda *_: "Ubuntu http://ubuntu.example/\n")
    assert fresh_host.sources("trixie") == []


def test_apt_s_proxy_and_dates_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    dump = (
        'APT::Architecture "amd64";\n'
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::Check-Date "false";\n'
    )
    monkeypatch.setattr(fresh_host, "_output", lambda *_: dump)
    assert fresh_host.apt_options() == [
        'Acquire::http::Proxy "http://proxy.example:3128"',
        'Acquire::Check-Date "false"',
    ]
