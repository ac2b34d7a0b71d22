"""A finding of ``spsd doctor``: its grade, its line of text and its JSON object."""

from spsd.doctor.rules import Finding, Grade, nothing_wrong, ok, warning, wrong


def test_the_words_of_a_grade():
    assert [grade.value for grade in Grade] == ["ok", "warning", "wrong"]


def test_a_finding_is_a_line():
    assert ok("room", "plenty") == Finding("room", Grade.OK, "plenty", "")
    assert ok("room", "plenty").line() == "ok      room: plenty"
    assert warning("room", "little", "Free some.").line() == "warning room: little. Free some."
    assert wrong("room", "none", "Free some.").line() == "wrong   room: none. Free some."


def test_a_line_has_no_control_character_of_an_image():
    line = wrong("slot_1", "2.0\x1b[2J\n\u202eok", "Move \x9bit.").line()
    assert line == r"wrong   slot_1: 2.0\x1b[2J\n\u202eok. Move \x9bit."
    assert len(ok("slot_1", "x" * 10**6).line()) < 9000


def test_the_json_object_has_stable_keys():
    finding = wrong("room", "none", "Free some.")
    assert finding.document() == {
        "check": "room",
        "grade": "wrong",
        "said": "none",
        "advice": "Free some.",
    }


def test_only_the_grade_wrong_is_wrong():
    fine, little, none = ok("a", "b"), warning("a", "b", "c"), wrong("a", "b", "c")
    assert nothing_wrong([])
    assert nothing_wrong([fine, little])
    assert not nothing_wrong([fine, none, little])
