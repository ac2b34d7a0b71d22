"""scripts/fresh: the settings that it reads from the machine, and its refusals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.programs.fresh import host as fresh_host
from scripts.programs.fresh import run as fresh_run

ROOT = Path(__file__).resolve().parents[2]


def fresh(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "scripts" / "fresh", *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_suites_options_and_packages() -> None:
    done = fresh("--help")
    assert done.returncode == 0
    for word in ("bookworm", "trixie", "--all", "--keep", "python3-venv"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["buster"], "invalid choice: 'buster'"), (["--whatever"], "unrecognized arguments")],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str) -> None:
    done = fresh(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_requirement_is_reported_in_one_line(tmp_path: Path) -> None:
    """Root first, and then the programs."""
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = fresh(PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    missing = "needs mmdebstrap (Debian: mmdebstrap)" if os.geteuid() == 0 else "needs root"
    assert done.stderr.startswith(f"fresh: {missing}")
    assert done.stderr.count("\n") == 1


def test_without_root_no_program_is_looked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert fresh_run.main(["trixie"]) == 2
    assert capsys.readouterr().err == "fresh: needs root: it makes a Debian system and enters it\n"


@pytest.mark.parametrize(
    ("program", "package"), [("mmdebstrap", "mmdebstrap"), ("unshare", "util-linux")]
)
def test_each_program_has_its_package(program: str, package: str) -> None:
    missing = fresh_run.missing(0, lambda name: None if name == program else f"/usr/bin/{name}")
    assert missing == f"needs {program} (Debian: {package})"


@pytest.mark.parametrize(
    ("output", "counts"),
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
def test_counts_of_pytest_s_last_line(output: str, counts: str) -> None:
    assert fresh_run.counts(output) == counts


def test_settings_of_packages_and_trust_are_passed_on_and_no_others() -> None:
    environment = {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_CONFIG_FILE": "/root/pip.conf",
        "https_proxy": "http://proxy.example:3128",
        "NO_PROXY": "localhost",
        "SSL_CERT_FILE": "/etc/ssl/all.pem",
        "HOME": "/root",
        "PYTHONPATH": "/somewhere",
    }
    passed = fresh_host.package_settings(environment)
    assert set(passed) == {"PIP_INDEX_URL", "https_proxy", "NO_PROXY", "SSL_CERT_FILE"}


def test_pip_s_files_are_merged_and_the_users_file_has_priority(tmp_path: Path) -> None:
    system, home = tmp_path / "xdg", tmp_path / "home"
    for file, text in {
        system / "pip" / "pip.conf": "[global]\ntimeout = 5\ncert = /a.pem\n",
        home / ".config" / "pip" / "pip.conf": "[global]\ntimeout = 9\n[install]\npre = yes\n",
    }.items():
        file.parent.mkdir(parents=True)
        file.write_text(text)
    environ = {"XDG_CONFIG_DIRS": str(system)}
    files = [path for path in fresh_host.pip_files(environ, home) if path != Path("/etc/pip.conf")]
    merged = fresh_host.pip_settings(files)
    assert dict(merged["global"]) == {"timeout": "9", "cert": "/a.pem"}
    assert dict(merged["install"]) == {"pre": "yes"}
    assert fresh_host.pip_files({"PIP_CONFIG_FILE": os.devnull}, home) == []


def test_local_directories_in_settings_are_detected(tmp_path: Path) -> None:
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
    # The pages of an index link to files beside its directory.
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
