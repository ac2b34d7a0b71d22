"""What a 206 or a 416 means: rows of the decision table (references are to RFC 9110)."""

from collections.abc import Callable

from spsd.decision_table import Outcome
from spsd.domain.asking import Prefix, overlapping, proof
from spsd.domain.exchange import (
    Append,
    AskAgain,
    Compare,
    Complete,
    Exchange,
    Same,
    Span,
    Verdict,
)
from spsd.domain.head_rows import HeadRow, Test, for_now, status, whole
from spsd.failures import FailureCode


def _part(test: Callable[[Exchange, Span], bool]) -> Test:
    """For a 206 that says which part it is."""

    def holds(seen: Exchange) -> bool:
        span = seen.reply.span
        return seen.reply.status == 206 and span is not None and test(seen, span)

    return holds


def _past_the_end(test: Callable[[Exchange, int | None], bool]) -> Test:
    return status(416, lambda seen: seen.ask.offset > 0 and test(seen, seen.reply.whole_size))


def _is_resized(seen: Exchange, span: Span) -> bool:
    if span.total is None or span.total == seen.kept.length:
        return False
    known = seen.kept.total
    return span.total < seen.kept.length if known is None else span.total != known


def _is_too_little_to_compare(seen: Exchange, span: Span) -> bool:
    if seen.ask.probe:
        return span.last != seen.ask.probe - 1
    return span.last < seen.ask.offset - 1


def _append(seen: Exchange) -> Verdict:
    told = seen.reply.span.total if seen.reply.span is not None else None
    total = told if told is not None else seen.kept.total
    return Append(seen.ask.offset, total, seen.ask.overlap)


PART_ROWS = (
    HeadRow(
        "part-unasked",
        "206 to a request without Range",
        status(206, lambda seen: seen.ask.offset == 0),
        for_now(FailureCode.PROTOCOL, lambda _: "the origin sent a part, unasked (206)"),
        "Nobody knows what is missing (section 15.3.7).",
    ),
    HeadRow(
        "part-coded",
        "206 with a Content-Encoding",
        status(206, lambda seen: seen.reply.coding != ""),
        whole("the origin coded a part"),
        "Positions in coded bytes are others.",
    ),
    HeadRow(
        "part-multipart",
        "206 as multipart/byteranges",
        status(206, lambda seen: seen.reply.media_type == "multipart/byteranges"),
        whole("the origin sent a multipart range"),
        "One range must not be answered so (section 15.3.7.2).",
    ),
    HeadRow(
        "part-unnamed",
        "206 without a Content-Range that can be read",
        status(206, lambda seen: seen.reply.span is None),
        whole("the origin sent a part without saying which"),
        "Where the bytes belong is not to be guessed.",
    ),
    HeadRow(
        "part-elsewhere",
        "206 of another offset, or of a range that cannot be",
        _part(lambda seen, span: span.first != seen.ask.first or not span.is_possible),
        whole("the origin sent another part than the one asked for"),
        "Its bytes would be glued to the wrong place.",
    ),
    HeadRow(
        "part-resized",
        "206 of an object of another total, or shorter than what is here, but not just as long",
        _part(_is_resized),
        whole("the object on the origin has another size now"),
        "Another size is another object.",
    ),
    HeadRow(
        "part-changed",
        "206 with another ETag",
        _part(lambda seen, _: seen.same is Same.NO),
        whole("the object on the origin has changed"),
        "Servers that ignore If-Range answer so for a changed object (section 13.1.5).",
    ),
    HeadRow(
        "part-all-here",
        "206 of an object that has as many bytes as are here",
        _part(lambda seen, span: span.total == seen.kept.length),
        Outcome("complete", lambda _: Complete()),
        "Nothing of it is missing. The digest has the last word.",
    ),
    HeadRow(
        "part-too-short-to-compare",
        "206 with fewer (or other) bytes than are to be compared",
        _part(_is_too_little_to_compare),
        whole("the origin sent too little to compare"),
        "What cannot be compared is not proven.",
    ),
    HeadRow(
        "probe",
        "206 with the first bytes, asked for to be compared",
        _part(lambda seen, _: seen.ask.probe > 0),
        Outcome(
            "compare; if equal, ask for the rest and the last bytes of what is here, else for all",
            lambda seen: Compare(seen.ask.probe, overlapping(Prefix(seen.kept, seen.windows))),
        ),
        "No validator vouches for what is here, so the bytes have to.",
    ),
    HeadRow(
        "overlap",
        "206 with the rest and the last bytes of what is here",
        _part(lambda seen, _: seen.ask.overlap > 0),
        Outcome("compare; if equal, append, else ask again for all of it", _append),
        "A swapped object is noticed before a byte of it is appended.",
    ),
    HeadRow(
        "part-unproven",
        "206 whose ETag is missing or weak",
        _part(lambda seen, _: seen.same is Same.UNKNOWN),
        Outcome(
            "ask again, for bytes to compare",
            lambda seen: AskAgain(
                proof(Prefix(seen.kept, seen.windows)), "no strong ETag vouches for the part"
            ),
        ),
        "A 206 has the ETag that a 200 would have (section 15.3.7); without it If-Range may have "
        "been ignored.",
    ),
    HeadRow(
        "part",
        "206 at the offset asked for, with the same strong ETag",
        status(206),
        Outcome("append", _append),
        "It continues what is here. It may be shorter than asked for: then the next attempt goes "
        "on.",
    ),
)

PAST_THE_END_ROWS = (
    HeadRow(
        "past-the-end-complete",
        "416 that tells as many bytes as are here",
        _past_the_end(
            lambda seen, size: size == seen.kept.length and seen.ask.first == seen.ask.offset
        ),
        Outcome("complete", lambda _: Complete()),
        "The end was not known, and is here (section 15.5.17). The digest has the last word.",
    ),
    HeadRow(
        "past-the-end-shorter",
        "416 that tells fewer bytes than are here",
        _past_the_end(lambda seen, size: size is not None and size < seen.kept.length),
        whole("the object on the origin is shorter now"),
        "Another size is another object.",
    ),
    HeadRow(
        "past-the-end-longer",
        "416 that tells at least as many bytes as were asked for",
        _past_the_end(lambda _, size: size is not None),
        whole("the origin has the bytes, and says that it has not (416)"),
        "It contradicts itself; without Range it has nothing to contradict.",
    ),
    HeadRow(
        "past-the-end-untold",
        "416 that tells no size",
        _past_the_end(lambda _, size: size is None),
        whole("the origin has no bytes there (416)"),
        "Nothing says whether what is here is complete.",
    ),
)
