"""TODO."""

import io
import json
import logging
import os
import re
import sys
from pathlib import Path

import pytest

from spsd.system.logs import LogFormat, log_handler, names_journal


@pytest.fixture
def stream(tmp_path):
    with (tmp_path / "log").open("w", encoding="utf-8") as file:
        yield file


def journal(stream):
    there = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}"}


def logged(environ, stream, wanted=LogFormat.AUTO, level=logging.ERROR, extra=None):
    """One line with a traceback, through a real logger, as it stands in the file."""
    handler = log_handler(environ, stream, wanted)
    logger = logging.getLogger("spsd.x")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        record = logger.makeRecord(
            *(logger.name, level, __file__, 1, "no %s\nat all", ("luck",), sys.exc_info()),
            extra=extra,
        )
    handler.handle(record)
    handler.flush()
    return Path(stream.name).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("level", "priority"), [(10, 7), (20, 6), (30, 4), (40, 3), (50, 2), (25, 6)]
)
def test_the_journal_gets_the_level_on_each_line(stream, level, priority):
    lines = logged(journal(stream), stream, level=level)
    assert lines[0] == f"<{priority}>spsd.x: no luck"
    assert len(lines) > 3
    assert all(line.startswith(f"<{priority}>") for line in lines)


def test_people_get_time_and_level(stream):
    assert logged({}, stream)[0].endswith(" ERROR spsd.x: no luck")


def test_text_has_its_time_in_the_journal_too(stream):
    first = logged(journal(stream), stream, LogFormat.TEXT)[0]
    assert re.fullmatch(r"<3>\d{4}-\S+ \S+ ERROR spsd\.x: no luck", first)


def test_programs_get_one_object_a_line(stream):
    extra = {"job": "k", "action": "fail", "state": "failed", "attempt": 2, "code": "dns"}
    [line] = logged({}, stream, LogFormat.JSON, extra=extra)
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told.pop("time"))
    assert "ZeroDivisionError" in told.pop("exception")
    assert told == {"level": "error", "logger": "spsd.x", "message": "no luck\nat all", **extra}


def test_what_a_line_has_not_is_not_there(stream):
    told = json.loads(logged({}, stream, LogFormat.JSON, extra={"code": None})[0])
    assert set(told) == {"time", "level", "logger", "message", "exception"}


def test_json_in_the_journal_has_its_priority(stream):
    [line] = logged(journal(stream), stream, LogFormat.JSON)
    assert line.startswith('<3>{"time": ')


@pytest.mark.parametrize("told", ["", "1", "1:2", ":", "x:y"])
def test_another_stream_is_not_the_journals(stream, told):
    assert not names_journal({"JOURNAL_STREAM": told}, stream)


def test_a_stream_without_descriptor_is_not_the_journals(stream):
    environ = journal(stream)
    assert names_journal(environ, stream)
    stream.close()
    assert not names_journal(environ, stream)
    assert not names_journal(environ, io.StringIO())
