"""A site: appliances on loopback that restart when told to, and Ansible that plays on them."""

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
    """A daemon whose ``reboot_command`` makes it start again, in another boot."""

    @property
    def wants_reboot(self) -> Path:
        return self.root / "reboot"

    def power_on(self) -> None:
        """Start, on a port that it keeps."""
        self.boot = str(uuid.uuid4())
        self.start()
        self.change({"server": {"port": int(self.url.rpartition(":")[2])}})

    def change(self, settings: Tables) -> None:
        """Have other settings from the next start on."""
        self.settings = merged(self.settings, settings)
        self.configure()

    def reboot_if_wanted(self) -> None:
        if self.wants_reboot.exists():
            self.wants_reboot.unlink()
            self.reboot(str(uuid.uuid4()))

    def jobs(self) -> list[dict[str, Any]]:
        return self.client().call("GET", "/api/firmware/fetch").document["items"]

    def running(self) -> int | None:
        """The slot that runs."""
        items = self.client().call("GET", "/api/firmware/slots").document["items"]
        return next((int(one["key"]) for one in items if one["body"].get("current")), None)


@dataclass
class Play:
    """What came of a playbook, by host."""

    status: int
    out: str
    stats: Mapping[str, Mapping[str, int]]
    results: list[Mapping[str, Any]]

    def changed(self) -> dict[str, dict[str, bool]]:
        """By host and task, whether it was changed."""
        told: dict[str, dict[str, bool]] = {}
        for one in self.results:
            if one["outcome"] == "ok":
                told.setdefault(one["host"], {})[one["task"]] = one["result"].get("changed", False)
        return told

    def failures(self) -> dict[str, str]:
        """By host, the message of its failure."""
        failed = [one for one in self.results if one["outcome"] in ("failed", "unreachable")]
        return {one["host"]: one["result"]["msg"] for one in failed}

    def totals(self) -> Counter[str]:
        """Over all hosts."""
        return sum((Counter(one) for one in self.stats.values()), Counter())


@dataclass
class Site:
    """Appliances, and a directory for what Ansible wants."""

    root: Path
    appliances: dict[str, Appliance]
    variables: dict[str, dict[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        namespace = Path(self.collections, "ansible_collections", "spsd")
        namespace.mkdir(parents=True)
        (namespace / "appliance").symlink_to(COLLECTION)

    @property
    def collections(self) -> str:
        """Where Ansible, and Python, find the collection."""
        return str(self.root / "collections")

    @property
    def environ(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if "ANSIBLE" not in name} | {
            "ANSIBLE_COLLECTIONS_PATH": self.collections,
            "ANSIBLE_HOME": str(self.root / "home"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "told",
            "ANSIBLE_FORKS": "8",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "TOLD_TO": str(self.root / "told.jsonl"),
            # So that modules run as this very environment's Python, wherever Ansible looks.
            "PYTHONPATH": f"{self.collections}:{ROOT}",
        }

    def inventory(self) -> Path:
        """Every appliance, as an operator would list them."""
        hosts = {
            name: {
                "spsd_url": one.url,
                "spsd_username": USER,
                "spsd_password": PASSWORD,
                "ansible_python_interpreter": sys.executable,
                **self.variables.get(name, {}),
            }
            for name, one in self.appliances.items()
        }
        path = self.root / "inventory.json"
        path.write_text(json.dumps({"appliances": {"hosts": hosts}}))
        return path

    @contextmanager
    def playing(
        self, playbook: str, *arguments: str, **variables: object
    ) -> Iterator["subprocess.Popen[str]"]:
        """The playbook while it runs; it is the leader of a session, as under a terminal."""
        needs.now(needs.semaphores())
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            *("-i", str(self.inventory()), playbook, *arguments),
            *("--extra-vars", json.dumps(variables)),
        ]
        (self.root / "told.jsonl").write_text("")
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
        """Run a playbook to its end; appliances that want it are restarted meanwhile."""
        with self.restarting(), self.playing(playbook, *arguments, **variables) as process:
            out, _ = process.communicate()
        lines = (self.root / "told.jsonl").read_text().splitlines()
        told = [json.loads(line) for line in lines]
        stats = [one["stats"] for one in told if "stats" in one]
        assert stats, out
        results = [one for one in told if "stats" not in one]
        return Play(process.returncode, out, stats[-1], results)

    def rolling(self, *arguments: str, **variables: object) -> Play:
        """The collection's own playbook."""
        return self.play("spsd.appliance.rolling_update", *arguments, **variables)

    @contextmanager
    def restarting(self) -> Iterator[None]:
        """Whoever wants a restart gets it, within this context."""
        over = threading.Event()

        def look() -> None:
            with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
                while not over.wait(LOOK_S):
                    list(pool.map(Appliance.reboot_if_wanted, self.appliances.values()))

        thread = threading.Thread(target=look, name="restarts")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def module(self, name: str, appliance: str = "", **options: object) -> dict[str, Any]:
        """Run a module by itself, in this process, and give what it returns.

        It speaks to this appliance, or to whatever the options say.
        """
        sys.path.insert(0, self.collections)
        try:
            with redirect_stdout(StringIO()) as out, suppress(SystemExit):
                run(name, self.options(appliance, options))
        finally:
            sys.path.remove(self.collections)
        return json.loads(out.getvalue())

    def options(self, appliance: str, options: Mapping[str, object]) -> dict[str, object]:
        """Those of a module that speaks to this appliance."""
        url = {"api_url": self.appliances[appliance].url} if appliance else {}
        return {"username": USER, "password": PASSWORD, **url, **options}

    @contextmanager
    def running_module(
        self, name: str, appliance: str, **options: object
    ) -> Iterator["subprocess.Popen[str]"]:
        """A module as a process of its own, as Ansible runs it."""
        given = json.dumps(self.options(appliance, options))
        process = subprocess.Popen(
            [sys.executable, "-m", "testbed.ansible_module", name, given],
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
    """A state directory that knows the user, for appliances to begin with."""
    template = DaemonProcess(root)
    template.configure()
    template.add_user()
    return template.state


@contextmanager
def site(
    root: Path, names: Sequence[str], state: Path, settings: Tables | None = None
) -> Iterator[Site]:
    """So many appliances, started, each with a copy of ``state``."""
    made: dict[str, Appliance] = {}
    for name in names:
        place = root / name
        place.mkdir(exist_ok=True)  # its state may be a disk of its own
        upgrade = {"upgrade": {"reboot_command": ["touch", str(place / "reboot")]}}
        slots = {"slots": {"accept": "any", "count": 3}}
        made[name] = Appliance(place, merged(slots, upgrade, settings or {}))
        made[name].configure()
        shutil.copytree(state, made[name].state, dirs_exist_ok=True)
    try:
        with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
            list(pool.map(Appliance.power_on, made.values()))
        yield Site(root, made)
    finally:
        for one in made.values():
            one.kill()


def merged(*layers: Tables) -> Tables:
    """Later settings over earlier ones, table by table."""
    tables: dict[str, dict[str, object]] = {}
    for layer in layers:
        for table, settings in layer.items():
            tables.setdefault(table, {}).update(settings)
    return tables
