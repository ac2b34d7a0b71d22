"""Text of an appliance in tables, lines and JSON: shown as it is, and without effect."""

import io
import json
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import RenderableType

from spsd.client import display
from spsd.client.display import RateEstimator
from tests.client.hostile_api import MARKUP, SHOWN, TEXT, download

OWN = re.compile(r"\x1b\[[0-9;]*m")  # what rich writes: colours
ANY_TEXT = st.text(
    st.characters()
    | st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cs"])
    | st.sampled_from("[]/:=\\\x1b\x9b\n\r\t\u202e\u2028")
) | st.sampled_from([MARKUP, TEXT, "[/]", "[/x]", "[@click=f]", ":smile:", "\\[a]"])
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def rendered(what: RenderableType) -> str:
    """What a terminal of 5000 columns gets."""
    console = display.open_console()
    console.file = io.StringIO()
    console._force_terminal = True
    console._color_system = console.color_system
    console.width = 5000
    console.print(display.printable(what))
    return console.file.getvalue()


def renderings(text: str) -> dict[str, RenderableType]:
    item = download(text, key=text)
    transition = dict.fromkeys(("time", "cause", "status", "attempt", "evidence"), text)
    body = {"version": text, "upgrade_notes": text, "current": True, "after_reboot": True}
    running = {**item, "body": {**item["body"], "status": text}}
    return {
        "downloads": display.downloads_table([item, running]),
        "details": display.download_details(running, [transition]),
        "slots": display.slots_table({"items": [{"key": text, "body": body}]}),
        "info": display.properties_table({"version": text, text: [text]}),
        "progress": display.progress_table([(running, RateEstimator())]),
        "line": display.download_line(item),
        "sentence": text,
    }


@given(ANY_TEXT)
@example(TEXT)
def test_no_character_of_a_stranger_has_an_effect(text: str) -> None:
    for name, what in renderings(text).items():
        shown = OWN.sub("", rendered(what))
        assert {unicodedata.category(c) for c in shown.replace("\n", "")} & HIDDEN == set(), name
        shown.encode()


def test_text_in_brackets_is_shown() -> None:
    for name, what in renderings(TEXT).items():
        shown = rendered(what)
        assert MARKUP in shown, name
        assert SHOWN in OWN.sub("", shown), name


def test_a_second_line_of_notes_cannot_be_taken_for_a_slot() -> None:
    body = {"version": "1", "upgrade_notes": "fixes\n2  evil"}
    shown = rendered(display.slots_table({"items": [{"key": "1", "body": body}]}))
    assert [line.split() for line in shown.splitlines()] == [
        ["SLOT", "VERSION", "NOTES"],
        ["1", "1", "fixes"],
        ["2", "evil"],
    ]
    assert shown.splitlines()[2].startswith(" " * 10)


@given(st.recursive(ANY_TEXT, lambda values: st.dictionaries(ANY_TEXT, values)))
def test_json_is_one_line_with_the_same_meaning(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return  # msgspec rejects lone surrogates when it reads a response
    line = display.json_line(value)
    assert len(line.splitlines()) == 1
    assert {unicodedata.category(c) for c in line} & HIDDEN == set()
    assert json.loads(line) == value


@pytest.mark.parametrize("width", [20, 80])
def test_a_megabyte_of_text_is_cut(width: int) -> None:
    for name, what in renderings("é" * 10**6).items():
        assert len(rendered(what)) < 250_000, name
