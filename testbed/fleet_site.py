"""A site: appliances on loopback that reboot on request, and Ansible runs against them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from spsd.testing.daemon import PASSWORD, USER, DaemonProcess, Tables
from testbed import needs
from testbed.ansible_module import run

ROOT = Path(__file__).parents[1]
COLLECTION = ROOT / "ansible"
LOOK_S = 0.05
STARTS_AT_ONCE = 4


class Appliance(DaemonProcess):
    """A daemon whose ``reboot_command`` requests a restart under another boot id."""

    @property
    def reboot_request(self) -> Path:
        """The file that the ``reboot_command`` makes."""
        return self.root / "reboot"

    def power_on(self) -> None:
        """Start on a free port, which every later start uses too."""
        self.boot = str(uuid.uuid4())
        self.start()
        self.change({"server": {"port": int(self.url.rpartition(":")[2])}})

    def change(self, settings: Tables) -> None:
        """Change settings; they apply from the next start on."""
        self.settings = merged(self.settings, settings)
        self.configure()

    def reboot_if_requested(self) -> None:
        """Restart under another boot id if the ``reboot_command`` has run."""
        if self.reboot_request.exists():
            self.reboot_request.unlink()
            self.reboot(str(uuid.uuid4()))

    def jobs(self) -> list[dict[str, Any]]:
        """The items of the list of downloads."""
        return self.client().call("GET", "/api/firmware/fetch").document["items"]

    def running(self) -> int | None:
        """The number of the running slot; None if it is unknown."""
        items = self.client().call("GET", "/api/firmware/slots").document["items"]
        return next((int(slot["key"]) for slot in items if slot["body"].get("current")), None)


@dataclass
class Play:
    """The result of a playbook."""

    status: int
    out: str
    stats: Mapping[str, Mapping[str, int]]
    results: list[Mapping[str, Any]]

    def changed(self) -> dict[str, dict[str, bool]]:
        """For each host and task, whether the task changed something."""
        changed: dict[str, dict[str, bool]] = {}
        for line in self.results:
            if line["outcome"] == "ok":
                tasks = changed.setdefault(line["host"], {})
                tasks[line["task"]] = line["result"].get("changed", False)
        return changed

    def failures(self) -> dict[str, str]:
        """For each host that failed, the message of its failure."""
        failed = [line for line in self.results if line["outcome"] in ("failed", "unreachable")]
        return {line["host"]: line["result"]["msg"] for line in failed}

    def totals(self) -> Counter[str]:
        """The statistics, added up over all hosts."""
        return sum((Counter(stats) for stats in self.stats.values()), Counter())


@dataclass
class Site:
    """Appliances, and a directory for Ansible's files."""

    root: Path
    appliances: dict[str, Appliance]
    variables: dict[str, dict[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        namespace = Path(self.collections, "ansible_collections", "spsd")
        namespace.mkdir(parents=True)
        (namespace / "appliance").symlink_to(COLLECTION)

    @property
    def collections(self) -> str:
        """The directory in which Ansible and Python find the collection."""
        return str(self.root / "collections")

    @property
    def environ(self) -> dict[str, str]:
        """The environment of Ansible's commands."""
        return {name: value for name, value in os.environ.items() if "ANSIBLE" not in name} | {
            "ANSIBLE_COLLECTIONS_PATH": self.collections,
            "ANSIBLE_HOME": str(self.root / "home"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "task_results",
            "ANSIBLE_FORKS": "8",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "TASK_RESULTS_FILE": str(self.root / "results.jsonl"),
            # Modules find the collection and testbed, whichever directory Ansible starts them in.
            "PYTHONPATH": f"{self.collections}:{ROOT}",
        }

    def inventory(self) -> Path:
        """Write an inventory of all appliances; gives its path."""
        hosts = {
            name: {
                "spsd_url": appliance.url,
                "spsd_username": USER,
                "spsd_password": PASSWORD,
                "ansible_python_interpreter": sys.executable,
                **self.variables.get(name, {}),
            }
            for name, appliance in self.appliances.items()
        }
        path = self.root / "inventory.json"
        path.write_text(json.dumps({"appliances": {"hosts": hosts}}))
        return path

    @contextmanager
    def playing(
        self, playbook: str, *arguments: str, **variables: object
    ) -> Iterator["subprocess.Popen[str]"]:
        """A running playbook; its process is a session leader, as under a terminal.

        Skips the test where Ansible's semaphores cannot be made.
        """
        needs.now(needs.semaphores())
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            *("-i", str(self.inventory()), playbook, *arguments),
            *("--extra-vars", json.dumps(variables)),
        ]
        (self.root / "results.jsonl").write_text("")
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environ,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def play(self, playbook: str, *arguments: str, **variables: object) -> Play:
        """Run a playbook to its end; appliances that request a reboot restart meanwhile."""
        with self.restarting(), self.playing(playbook, *arguments, **variables) as process:
            out, _ = process.communicate()
        text = (self.root / "results.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        stats = [line["stats"] for line in lines if "stats" in line]
        assert stats, out
        results = [line for line in lines if "stats" not in line]
        return Play(process.returncode, out, stats[-1], results)

    def rolling(self, *arguments: str, **variables: object) -> Play:
        """Run the collection's rolling update."""
        return self.play("spsd.appliance.rolling_update", *arguments, **variables)

    @contextmanager
    def restarting(self) -> Iterator[None]:
        """Within this context, an appliance that requests a reboot restarts."""
        over = threading.Event()

        def look() -> None:
            with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
                while not over.wait(LOOK_S):
                    list(pool.map(Appliance.reboot_if_requested, self.appliances.values()))

        thread = threading.Thread(target=look, name="restarts")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def module(self, name: str, appliance: str = "", **options: object) -> dict[str, Any]:
        """Run a module by itself, in this process; gives its result.

        It connects to this appliance, or with ``appliance`` empty to the one in the options.
        """
        sys.path.insert(0, self.collections)
        try:
            with redirect_stdout(StringIO()) as out, suppress(SystemExit):
                run(name, self.options(appliance, options))
        finally:
            sys.path.remove(self.collections)
        return json.loads(out.getvalue())

    def options(self, appliance: str, options: Mapping[str, object]) -> dict[str, object]:
        """``options`` with the URL and the credentials of an appliance."""
        url = {"api_url": self.appliances[appliance].url} if appliance else {}
        return {"username": USER, "password": PASSWORD, **url, **options}

    @contextmanager
    def running_module(
        self, name: str, appliance: str, **options: object
    ) -> Iterator["subprocess.Popen[str]"]:
        """A module that runs as a process of its own, as under Ansible."""
        given_options = json.dumps(self.options(appliance, options))
        process = subprocess.Popen(
            [sys.executable, "-m", "testbed.ansible_module", name, given_options],
            cwd=self.root,
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def state_with_user(root: Path) -> Path:
    """A state directory with one user, which :func:`site` copies for each appliance."""
    template = DaemonProcess(root)
    template.configure()
    template.add_user()
    return template.state


@contextmanager
def site(
    root: Path, names: Sequence[str], state: Path, settings: Tables | None = None
) -> Iterator[Site]:
    """Started appliances with these names, each with a copy of the directory ``state``."""
    appliances: dict[str, Appliance] = {}
    for name in names:
        directory = root / name
        directory.mkdir(exist_ok=True)  # a test may have mounted a disk for its state
        upgrade = {"upgrade": {"reboot_command": ["touch", str(directory / "reboot")]}}
        slots = {"slots": {"accept": "any", "count": 3}}
        appliances[name] = Appliance(directory, merged(slots, upgrade, settings or {}))
        appliances[name].configure()
        shutil.copytree(state, appliances[name].state, dirs_exist_ok=True)
    try:
        with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
            list(pool.map(Appliance.power_on, appliances.values()))
        yield Site(root, appliances)
    finally:
        for appliance in appliances.values():
            appliance.kill()


def merged(*layers: Tables) -> Tables:
    """The tables of all layers; a setting of a later layer replaces that of an earlier one."""
    tables: dict[str, dict[str, object]] = {}
    for layer in layers:
        for table, settings in layer.items():
            tables.setdefault(table, {}).update(settings)
    return tables
