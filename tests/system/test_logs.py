"""Lines of the log: as text, with priorities for the journal, and as JSON."""

import io
import json
import logging
import os
import re
import sys
from pathlib import Path

import pytest

from spsd.system.logs import LogFormat, is_journal, log_handler


@pytest.fixture
def stream(tmp_path):
    with (tmp_path / "log").open("w", encoding="utf-8") as file:
        yield file


def journal_environment(stream):
    status = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def logged(environ, stream, log_format=LogFormat.AUTO, level=logging.ERROR, extra=None):
    """The lines in the file after one record with a traceback."""
    handler = log_handler(environ, stream, log_format)
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
    lines = logged(journal_environment(stream), stream, level=level)
    assert lines[0] == f"<{priority}>spsd.x: no luck"
    assert len(lines) > 3
    assert all(line.startswith(f"<{priority}>") for line in lines)


def test_text_has_time_and_level(stream):
    assert logged({}, stream)[0].endswith(" ERROR spsd.x: no luck")


def test_explicit_text_has_the_time_in_the_journal_as_well(stream):
    first = logged(journal_environment(stream), stream, LogFormat.TEXT)[0]
    assert re.fullmatch(r"<3>\d{4}-\S+ \S+ ERROR spsd\.x: no luck", first)


def test_json_is_one_object_per_line(stream):
    extra = {"job": "k", "action": "fail", "state": "failed", "attempt": 2, "code": "dns"}
    [line] = logged({}, stream, LogFormat.JSON, extra=extra)
    document = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", document.pop("time"))
    assert "ZeroDivisionError" in document.pop("exception")
    assert document == {"level": "error", "logger": "spsd.x", "message": "no luck\nat all", **extra}


def test_a_field_without_a_value_is_left_out(stream):
    document = json.loads(logged({}, stream, LogFormat.JSON, extra={"code": None})[0])
    assert set(document) == {"time", "level", "logger", "message", "exception"}


def test_json_has_its_priority_in_the_journal(stream):
    [line] = logged(journal_environment(stream), stream, LogFormat.JSON)
    assert line.startswith('<3>{"time": ')


@pytest.mark.parametrize("value", ["", "1", "1:2", ":", "x:y"])
def test_another_stream_is_not_the_journal(stream, value):
    assert not is_journal({"JOURNAL_STREAM": value}, stream)


def test_a_stream_without_descriptor_is_not_the_journal(stream):
    environ = journal_environment(stream)
    assert is_journal(environ, stream)
    stream.close()
    assert not is_journal(environ, stream)
    assert not is_journal(environ, io.StringIO())
