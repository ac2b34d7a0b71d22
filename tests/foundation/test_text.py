"""Text of strangers, made harmless: nothing that a terminal, a log or a line of JSON acts on."""

import json
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spsd.text import capped, harmless, json_line, visible, visible_lines

DANGEROUS = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029",
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2060, 0x2070)),
    *"\u3164\ufe00\ufe0f\ufeff\uffa0\ufff9\ufffa\ufffb\ufffe\uffff\ue000\ufdd0",
    *map(chr, (0xD800, 0xDFFF, 0xE0001, 0xE0041, 0xE007F, 0xE0100, 0xE01EF, 0xF0000, 0x10FFFF)),
]
TEXT = st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from(DANGEROUS))
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def is_dangerous(text: str) -> bool:
    return any(unicodedata.category(c) in HIDDEN or c in DANGEROUS for c in text)


@pytest.mark.parametrize("character", DANGEROUS, ids=lambda c: f"{ord(c):04x}")
def test_a_dangerous_character_becomes_an_escape(character):
    shown = visible(f"a{character}b")
    assert re.fullmatch(r"a\\(n|r|t|x..|u....|U.{8})b", shown)
    assert shown.encode("ascii").decode("unicode_escape") == f"a{character}b"
    document = json_line(json.dumps([character], ensure_ascii=False))
    assert document.isascii()
    surrogate = unicodedata.category(character) == "Cs"
    assert json.loads(document) == [visible(character) if surrogate else character]


@pytest.mark.parametrize(
    "text", ["", "2.5.0", r"C:\new\x1b", "Größe 3 µm · 固件 прошивка", "a\u00a0b\u3000c", "é", "🚀"]
)
def test_readable_text_stays(text):
    assert visible(text) == harmless(text) == capped(text) == text
    document = json.dumps(text, ensure_ascii=False)
    assert json_line(document) == document


def test_lines_end_at_a_line_feed_alone():
    assert visible_lines("a\nb\r\n\u2028c") == ["a", r"b\r", r"\u2028c"]


@given(TEXT)
@example("\x1b]8;;http://x\x07text\x1b]8;;\x07")
def test_nothing_dangerous_is_left(text):
    shown = visible(text)
    assert not is_dangerous(shown)
    assert visible(shown) == shown
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(st.recursive(TEXT | st.none(), lambda v: st.lists(v) | st.dictionaries(TEXT, v)))
def test_json_keeps_its_meaning_on_one_line(value):
    text = json.dumps(value, ensure_ascii=False)
    line = json_line(text)
    assert not is_dangerous(line)
    assert len(line.splitlines()) == 1
    assert json.loads(line) == json.loads(re.sub("[\ud800-\udfff]", _as_text, text))


def _as_text(match: re.Match[str]) -> str:
    return f"\\\\u{ord(match[0]):04x}"


@given(TEXT, st.integers(0, 60))
def test_a_text_is_cut_to_its_limit(text, limit):
    shown = harmless(text, limit=limit)
    if len(visible(text).encode()) <= limit:
        assert shown == visible(text)
        return
    head, count = re.fullmatch(r"(.*)… \((\d+) more characters\)", shown).groups()
    kept = len(text) - int(count)
    assert head == visible(text[:kept])
    assert len(head.encode()) <= limit < len(visible(text[: kept + 1]).encode())


def test_the_limit_is_one_of_what_is_written():
    assert harmless("\x1b" * 9, limit=8) == r"\x1b\x1b… (7 more characters)"
    quoted = capped('"' * 9, 8, rendered=json.dumps)
    assert quoted == '"""… (6 more characters)'
    assert len(harmless("é" * 10**7)) < 9000
