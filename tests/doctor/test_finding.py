"""TODO."""

from spsd.doctor.rules import Finding, Grade, all_well, ok, warning, wrong


def test_the_words_of_a_grade():
    assert [grade.value for grade in Grade] == ["ok", "warning", "wrong"]


def test_a_finding_is_a_line():
    assert ok("room", "plenty") == Finding("room", Grade.OK, "plenty", "")
    assert ok("room", "plenty").line() == "ok      room: plenty"
    assert warning("room", "little", "Free some.").line() == "warning room: little. Free some."
    assert wrong("room", "none", "Free some.").line() == "wrong   room: none. Free some."


def test_a_warning_is_no_trouble_yet():
    fine, little, none = ok("a", "b"), warning("a", "b", "c"), wrong("a", "b", "c")
    assert all_well([])
    assert all_well([fine, little])
    assert not all_well([fine, none, little])
