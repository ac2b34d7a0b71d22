"""Lines of the log: as text, with priorities for the journal, and as JSON."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spsd.system.logs import FIELDS, LogFormat, is_journal, log_handler

LINE_MAX = 48 * 1024  # of journald.conf(5): a longer line becomes several entries


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
    assert lines[0] == f"<{priority}>spsd.x: no luck\\nat all"
    assert len(lines) > 3
    assert all(line.startswith(f"<{priority}>    ") for line in lines[1:])


def test_text_has_time_and_level(stream):
    first, *others = logged({}, stream)
    assert first.endswith(r" ERROR spsd.x: no luck\nat all")
    assert all(line.startswith("    ") for line in others)


def test_explicit_text_has_the_time_in_the_journal_as_well(stream):
    first = logged(journal_environment(stream), stream, LogFormat.TEXT)[0]
    assert re.fullmatch(r"<3>\d{4}-\S+ \S+ ERROR spsd\.x: no luck\\nat all", first)


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


ANY_TEXT = st.text(
    st.characters()
    | st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp"])
    | st.sampled_from('\n\r\x00\x1b\x7f\x85\u2028\u2029\x0b\x0c\x1c"\\<>')
)


def raised(text):
    """What sys.exc_info() returns of an exception with this text, and of its cause."""
    try:
        {}[text]
    except KeyError as cause:
        error = ValueError(text)
        error.__cause__, error.__traceback__ = cause, cause.__traceback__
        return ValueError, error, error.__traceback__


def written(log_format, level, message, error, extra, *, journal):
    """All that one record writes, as bytes of a file."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        environ = journal_environment(file) if journal else {}
        handler = log_handler(environ, file, log_format)
        logger = logging.getLogger("spsd.x")
        caught = None if error is None else raised(error)
        record = logger.makeRecord(logger.name, level, "", 1, "%s", (message,), caught, extra=extra)
        handler.handle(record)
        handler.flush()
        file.buffer.seek(0)
        return file.buffer.read()


@given(
    log_format=st.sampled_from(LogFormat),
    level=st.sampled_from([10, 20, 30, 40, 50]),
    message=ANY_TEXT,
    error=st.none() | ANY_TEXT,
    journal=st.booleans(),
    value=ANY_TEXT,
)
@example(LogFormat.AUTO, 20, "a\n<0>kernel: fire", None, True, "")
@example(LogFormat.AUTO, 20, "a", "b\n<0>spsd.jobs: job: removed", True, "")
@example(LogFormat.JSON, 20, "a\u2028<0>b", None, True, "\x85<0>")
@example(LogFormat.TEXT, 40, "\udc80\x00<0>b", "\ud800", False, "")
def test_a_record_is_one_entry(log_format, level, message, error, journal, value):
    extra = dict.fromkeys(FIELDS, value)
    text = written(log_format, level, message, error, extra, journal=journal).decode()
    assert text.endswith("\n")
    lines = text.removesuffix("\n").split("\n")
    assert text.splitlines() == lines
    assert {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == {"Cc"}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    if journal:
        priority = {10: "<7>", 20: "<6>", 30: "<4>", 40: "<3>", 50: "<2>"}[level]
        assert all(line.startswith(priority) for line in lines)
        lines = [line.removeprefix(priority) for line in lines]
    if log_format is LogFormat.JSON:
        [line] = lines
        document = json.loads(line)
        if not re.search("[\ud800-\udfff]", message):
            assert document["message"] == message
        assert ("exception" in document) == (error is not None)
        return
    first, *others = lines
    assert re.match(r"spsd\.x: |\d{4}-\S+ \S+ [A-Z]+ spsd\.x: ", first)
    assert all(line.startswith("    ") for line in others)
    assert bool(others) == (error is not None)


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize("character", ["a", "\u2028", '"', "\\", "é", "🚀", "\U000e0001", "x\n"])
def test_a_long_record_is_cut(log_format, character):
    long = character * 400_000
    extra = dict.fromkeys(FIELDS, long)
    text = written(log_format, 40, long, long, extra, journal=True).decode()
    assert all(len(line.encode()) < LINE_MAX for line in text.splitlines())
    assert len(text.encode()) < LINE_MAX
    assert "more characters)" in text.splitlines()[0]
    assert "ValueError" in text


def test_a_long_traceback_keeps_its_ends(stream):
    handler = log_handler({}, stream)
    error = ExceptionGroup("all", [ValueError(f"number {n}: " + "x" * 900) for n in range(100)])
    handler.handle(logging.makeLogRecord({"exc_info": (type(error), error, None)}))
    lines = Path(stream.name).read_text(encoding="utf-8").splitlines()
    assert any(re.fullmatch(r"    … \d+ lines are left out", line) for line in lines)
    assert "ExceptionGroup: all" in lines[1]
    assert "and 85 more exceptions" in lines[-2]


def test_what_nothing_catches_is_an_entry_of_the_log():
    """A traceback that Python itself writes would be lines of any text, without a priority."""
    script = """
import gc, logging, sys, threading
from spsd.system.logs import LogFormat, log_handler, log_uncaught
logging.basicConfig(handlers=[log_handler({}, sys.stderr, LogFormat.JSON)])
log_uncaught()
class Broken:
    def __del__(self):
        raise ValueError("unraisable\\n<0>forged")
def fail():
    raise ValueError("thread\\n<0>forged")
thread = threading.Thread(target=fail); thread.start(); thread.join()
Broken(); gc.collect()
raise ValueError("main\\n<0>forged")
"""
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    documents = [json.loads(line) for line in process.stderr.splitlines()]
    assert [document["level"] for document in documents] == ["error", "error", "critical"]
    for document, word in zip(documents, ("thread", "unraisable", "main"), strict=True):
        assert f"ValueError: {word}\n<0>forged" in document["exception"]
