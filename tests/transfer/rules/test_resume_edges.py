"""The edges of the rows on a reply's head: one byte, one status, one position more or less."""

import pytest

from spsd.failures import FailureCode
from spsd.transfer.rules.messages import (
    Append,
    Complete,
    Exchange,
    Prefix,
    RangeRequest,
    ResponseHead,
    Windows,
)
from spsd.transfer.rules.request import (
    PLAN,
    WINDOWS,
    PlanInput,
    comparison_request,
    overlap_request,
)
from spsd.transfer.rules.response import HEAD

NOW = 1_700_000_000
ONE = Prefix(1, 1000, '"a"')
KEPT = Prefix(100, 1000, '"a"')
RANGED = RangeRequest(100, '"a"')
OVERLAPPED = RangeRequest(8000, overlap=2000)
LENGTH = {"content-length": "9"}


def exchanged(request, prefix, status, headers, windows=WINDOWS):
    return Exchange(request, prefix, ResponseHead(status, headers), NOW, windows)


def part(text, **headers):
    return {"content-range": f"bytes {text}"} | headers


EDGES = [
    ("whole", exchanged(RangeRequest(), KEPT, 200, LENGTH | {"etag": '"b"'})),
    ("whole-changed", exchanged(RangeRequest(1), ONE, 200, LENGTH | {"etag": '"b"'})),
    ("whole-to-range", exchanged(RangeRequest(1), ONE, 200, LENGTH)),
    ("whole-called-part", exchanged(RangeRequest(1), ONE, 200, part("1-999/1000"))),
    ("part-elsewhere", exchanged(RANGED, KEPT, 206, part("100-99/1000", etag='"a"'))),
    ("part-elsewhere", exchanged(RANGED, KEPT, 206, part("100-1000/1000", etag='"a"'))),
    ("part", exchanged(RANGED, KEPT, 206, part("100-100/1000", etag='"a"'))),
    ("part", exchanged(RANGED, KEPT, 206, part("100-999/1000", etag='"a"'))),
    ("part", exchanged(RangeRequest(1), Prefix(1, None, '"a"'), 206, part("1-1/2", etag='"a"'))),
    ("overlap", exchanged(OVERLAPPED, Prefix(8000), 206, part("6000-7999/10000"))),
    ("overlap", exchanged(RangeRequest(8, overlap=1), Prefix(8), 206, part("7-99/100"))),
    (
        "part-too-short-to-compare",
        exchanged(OVERLAPPED, Prefix(8000), 206, part("6000-7998/10000")),
    ),
    (
        "part-too-short-to-compare",
        exchanged(RangeRequest(8, probe=4), Prefix(8), 206, part("0-4/100")),
    ),
    ("probe", exchanged(RangeRequest(8, probe=1), Prefix(8), 206, part("0-0/100"), Windows(1, 4))),
    ("past-the-end-complete", exchanged(RangeRequest(1), Prefix(1), 416, part("*/1"))),
    ("past-the-end-longer", exchanged(OVERLAPPED, Prefix(8000), 416, part("*/8000"))),
    ("past-the-end-shorter", exchanged(OVERLAPPED, Prefix(8000), 416, part("*/7999"))),
    ("refused", exchanged(RangeRequest(), Prefix(), 416, part("*/7999"))),
]


@pytest.mark.parametrize(("name", "exchange"), EDGES)
def test_the_edge_belongs_to(name, exchange):
    assert HEAD.row(exchange).name == name


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("busy", [408, 425, 429, 500, 599]),
        ("denied", [401, 403, 407]),
        ("gone", [404, 410]),
        ("refused", [400, 402, 405, 406, 409, 411, 426, 428, 499]),
        ("no-object", [199, 201, 299, 300, 304, 399, 600]),
    ],
)
def test_the_row_of_a_status(name, statuses):
    rows = {
        status: HEAD.row(exchanged(RangeRequest(), Prefix(), status, {})).name
        for status in statuses
    }
    assert rows == dict.fromkeys(statuses, name)


@pytest.mark.parametrize(
    ("exchange", "sentence"),
    [
        (
            exchanged(RANGED, KEPT, 200, {"content-encoding": "gzip"}),
            "coded: the origin sent the image with content coding 'gzip' (bytes on disk 100). Turn",
        ),
        (
            exchanged(RangeRequest(), Prefix(), 404, {}),
            "origin_status: the origin answered 404. Check",
        ),
        (exchanged(RangeRequest(), KEPT, 503, {}), "origin_status: the origin answered 503. Check"),
        (
            exchanged(RangeRequest(), Prefix(), 206, part("0-9/10")),
            "protocol: the origin sent a part, unrequested (206). Check",
        ),
    ],
)
def test_the_sentence_of_a_refusal(exchange, sentence):
    error = HEAD.decide(exchange).error
    assert error.sentence().startswith(sentence)


def test_retry_after_is_passed_on():
    error = HEAD.decide(exchanged(RangeRequest(), Prefix(), 503, {"retry-after": "7"})).error
    assert (error.code, error.retry_after) == (FailureCode.ORIGIN_STATUS, 7)


def test_a_restart_has_a_reason():
    assert HEAD.decide(EDGES[1][1]).why == "the object on the origin has changed"


def test_the_edges_of_the_plan():
    assert PLAN.decide(PlanInput(Prefix(1, 1))) == Complete()
    assert PLAN.decide(PlanInput(Prefix(1, 2, '"a"'))) == RangeRequest(1, '"a"')
    assert comparison_request(PlanInput(Prefix(WINDOWS.refetch_limit))) == RangeRequest()
    assert comparison_request(
        PlanInput(one := Prefix(WINDOWS.refetch_limit + 1))
    ) == overlap_request(PlanInput(one))
    assert comparison_request(PlanInput(Prefix(WINDOWS.probe_from))).probe == WINDOWS.size
    assert comparison_request(PlanInput(Prefix(WINDOWS.probe_from - 1))).probe == 0


def test_the_total_is_that_of_the_part_or_the_one_stated_before():
    stated = exchanged(OVERLAPPED, Prefix(8000), 206, part("6000-9999/10000"))
    assert HEAD.decide(stated) == Append(8000, 10_000, 2000)
    unstated = exchanged(OVERLAPPED, Prefix(8000, 9000), 206, part("6000-8999/*"))
    assert HEAD.decide(unstated) == Append(8000, 9000, 2000)
