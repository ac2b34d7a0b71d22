"""Each failure code, as a job of a running daemon gets it from a real origin."""

import ast
import asyncio
import hashlib
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spsd.digest import Sha256
from spsd.failures import EXPLANATIONS, FailureCode
from spsd.testing.origin import (
    Act,
    CutAfter,
    Gzip,
    Hang,
    Html,
    Origin,
    Redirect,
    Status,
    TooLong,
    Whole,
)
from spsd.transfer.ports import download_key
from testbed.driver import in_loop

TESTS = Path(__file__).parents[1]
WRONG_DIGEST = "a" * 64
MORE_THAN_THE_DISK = 10**15


@dataclass(frozen=True)
class Scene:
    """A job that fails: by the acts of its origin, by its URL, or by its digest.

    In a URL ``{port}`` is the port of the scene's origin, ``{closed}`` a port where no server
    listens, and ``{ssh}`` the port of a server of another protocol.
    """

    always: Act = field(default_factory=Whole)
    first: tuple[Act, ...] = ()
    url: str = "http://127.0.0.1:{port}/image.iso"
    digest: str | None = None


SCENES: Mapping[FailureCode, Scene] = {
    FailureCode.DNS: Scene(url="http://nowhere.invalid/image.iso"),
    FailureCode.REFUSED: Scene(url="http://127.0.0.1:{closed}/image.iso"),
    FailureCode.TLS: Scene(url="https://127.0.0.1:{ssh}/image.iso"),
    FailureCode.PORTAL: Scene(Html("<html>log in</html>")),
    FailureCode.STALL: Scene(Hang(0)),
    FailureCode.ORIGIN_STATUS: Scene(Status(404)),
    FailureCode.PROTOCOL: Scene(url="http://127.0.0.1:{ssh}/image.iso"),
    FailureCode.REDIRECT: Scene(Redirect("/image.iso")),
    FailureCode.CUT_OFF: Scene(CutAfter(0)),
    FailureCode.TOO_LONG: Scene(
        TooLong(10), (CutAfter(2000), TooLong(10), CutAfter(2000)), digest=WRONG_DIGEST[:-1] + "c"
    ),
    FailureCode.CODED: Scene(Gzip()),
    FailureCode.DIGEST: Scene(digest=WRONG_DIGEST),
    FailureCode.DISK_FULL: Scene(TooLong(MORE_THAN_THE_DISK)),
    FailureCode.DISK: Scene(digest="b" * 64),
    FailureCode.NOT_AN_IMAGE: Scene(),
    FailureCode.POLICY: Scene(url="http://169.254.1.1/image.iso"),
}

# Codes that are tested elsewhere. The text of the test named here must contain the code.
ELSEWHERE: Mapping[FailureCode, str] = {
    FailureCode.PROXY: "transfer/http/test_proxy.py::test_no_proxy_there",
    FailureCode.PROXY_AUTH: "transfer/http/test_proxy.py::test_a_proxy_that_asks_for_a_password",
    FailureCode.NO_SLOT: "daemon/test_origins.py::test_what_is_no_iso_and_no_slot",
    FailureCode.INTERNAL: ("jobs/test_containment.py::test_an_unexpected_exception_fails_one_job"),
    FailureCode.GAVE_UP: (
        "daemon/test_crash.py::test_an_image_that_always_crashes_the_daemon_is_given_up"
    ),
}


def test_every_code_has_a_test() -> None:
    assert {*SCENES, *ELSEWHERE} == set(FailureCode)
    assert set(SCENES) & set(ELSEWHERE) == set()
    for code, test in ELSEWHERE.items():
        file, _, name = test.partition("::")
        text = (TESTS / file).read_text(encoding="utf-8")
        functions = (
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        )
        source = ast.get_source_segment(text, next(functions)) or ""
        assert re.search(rf'"{code}: |FailureCode\.{code.name}\b', source), f"{test}: no {code}"


async def test_each_scene_gives_its_code(tmp_path: Path) -> None:
    async with (
        AsyncExitStack() as stack,
        _ssh() as ssh,
        in_loop(
            tmp_path,
            fetch={"concurrent": 32, "attempts": 2, "stall_window_s": 1},
            slots={"count": 32},
        ) as daemon,
    ):
        (daemon.state / "staging" / download_key(Sha256("b" * 64))).write_text("in the way")
        with socket.create_server(("127.0.0.1", 0)) as unused:
            closed = unused.getsockname()[1]

        async def error_of(code: FailureCode, scene: Scene) -> str:
            content = f"the image of {code}".encode() * 200
            origin = Origin({"/image.iso": content}, scene.first, always=scene.always)
            await stack.enter_async_context(origin)
            url = scene.url.format(port=origin.port, closed=closed, ssh=ssh)
            digest = scene.digest or hashlib.sha256(content).hexdigest()
            body = await daemon.over(await daemon.submit(url, digest))
            assert body["status"] == "failed", (code, body)
            return str(body["error"])

        errors = await asyncio.gather(*(error_of(*scene) for scene in SCENES.items()))
        assert daemon.filled() == []
    errors_by_code = dict(zip(SCENES, errors, strict=True))
    assert {code: error.partition(": ")[0] for code, error in errors_by_code.items()} == {
        code: code.value for code in SCENES
    }, errors_by_code
    without_advice = {
        code: error
        for code, error in errors_by_code.items()
        if EXPLANATIONS[code].advice not in error
    }
    assert without_advice == {}
    # Each error is one line without internals such as object addresses.
    assert [error for error in errors if not error.isprintable() or " at 0x" in error] == []


@asynccontextmanager
async def _ssh() -> AsyncIterator[int]:
    """The port of a server that sends the greeting of another protocol."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
