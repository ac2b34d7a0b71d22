"""schemathesis against a running daemon: every operation that the description has, every check."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from spsd.web.routes import OPERATIONS
from testbed.driver import running

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
LEAST_CASES = 2000
EXAMPLES_FOR_EACH = 150


@pytest.mark.timeout(600)
async def test_nothing_that_the_description_allows_or_forbids_surprises(tmp_path: Path) -> None:
    """All phases and all checks, but for what ``schemathesis.toml`` gives a reason for.

    Raw images are accepted, so that uploads of made-up bytes succeed; downloads are refused by
    the address policy, and so end at once.
    """
    slots, fetch = {"accept": "any"}, {"allow": [], "attempts": 1}
    async with running(tmp_path, slots=slots, fetch=fetch) as daemon:
        # From a file: of a description that it loads over HTTP it leaves out the very operation.
        description = tmp_path / "openapi.json"
        status, document = await daemon.call("GET", "/api/openapi.json")
        assert status == 200
        # Nor must the examples be looked up in the network.
        text = re.sub(r"https://\w+\.example\.org", "https://127.0.0.1:9", json.dumps(document))
        description.write_text(text)
        # All checks are on by default; to name them here would overrule the reasons in the file.
        tool = (Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG)
        examples = ("--max-examples", str(EXAMPLES_FOR_EACH))
        process = await asyncio.create_subprocess_exec(
            *(*tool, "run", *examples, description, "--url", daemon.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
            env=os.environ
            | {
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.daemon.fuzzing",
                "SPSD_URL": daemon.url,
            },
        )
        output, _ = await process.communicate()
        told = output.decode()
        print(told)
        assert process.returncode == 0
        assert f"Tested: {len(OPERATIONS)}" in told
        cases = re.search(r"(\d+) generated, (\d+) passed", told)
        assert cases is not None
        assert int(cases[1]) == int(cases[2]) >= LEAST_CASES
        assert await daemon.stop() == 0
