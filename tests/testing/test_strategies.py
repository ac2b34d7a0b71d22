"""The strategies against the daemon: it accepts their valid bodies and refuses the invalid ones."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import find, given, settings

from spsd.testing import strategies
from spsd.testing.client import Client
from spsd.testing.daemon import DaemonProcess
from spsd.testing.origin import ACTS

FETCH = "/api/firmware/fetch"
RUNS = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with tempfile.TemporaryDirectory() as root, DaemonProcess(Path(root)) as daemon:
        yield daemon.client()


def test_valid_bodies_are_accepted(client: Client, tally: Callable[[str, int], None]) -> None:
    @RUNS
    @given(strategies.fetch_bodies(), strategies.tolerated_headers())
    def check(body: dict, headers: dict[str, str]) -> None:
        answer = client.call("POST", FETCH, json_body=body, headers=headers)
        assert answer.status == 202, answer.content
        path = f"{FETCH}/{answer.document['key']}"
        # The first DELETE cancels the job unless it has failed already; the next removes it.
        while client.call("DELETE", path, headers=headers).status != 404:
            pass
        tally("right bodies of a request, all taken", 1)

    check()


def test_invalid_bodies_are_refused_by_name(
    client: Client, tally: Callable[[str, int], None]
) -> None:
    members = Counter[str]()

    @RUNS
    @given(strategies.invalid_fetch_bodies())
    def check(invalid: strategies.InvalidBody) -> None:
        answer = client.call("POST", FETCH, json_body=invalid.body)
        assert answer.status == 400, answer.content
        assert invalid.member in answer.document["error"]["message"]
        members[invalid.member] += 1
        tally("wrong bodies of a request, all refused by name", 1)

    check()
    assert {"url", "checksum", "sha256"} < set(members)
    assert client.call("GET", FETCH).document["items"] == []


@pytest.mark.parametrize("kind", ACTS, ids=lambda kind: kind.__name__)
def test_every_act_is_drawn(kind: type) -> None:
    many = settings(max_examples=5000, database=None)
    find(strategies.acts(), lambda act: isinstance(act, kind), settings=many, random=Random(0))
