"""The decision: an act, a request and an object make a reply. Nothing here touches a socket."""

from dataclasses import replace
from typing import Final, assert_never

from spsd.testing.origin import acts
from spsd.testing.origin.body import Filler, Span, flip, split, total
from spsd.testing.origin.ranges import Full, Part, Selection, Unsatisfiable, in_range, unchanged
from spsd.testing.origin.reply import (
    Ending,
    Entity,
    Headers,
    Reply,
    chunked,
    framed,
    portion,
    unframed,
    without,
)
from spsd.testing.origin.request import Request

_BOUNDARY: Final = "spsd-part"


def plan(act: acts.Answering, request: Request, entity: Entity | None) -> Reply:
    """Return the reply of a server that acts so; `entity` is None where there is no object."""
    if request.method not in ("GET", "HEAD"):
        reply = framed(405, {"Allow": "GET, HEAD"}, ())
    elif isinstance(act, acts.Instead):
        reply = _instead(act)
    elif entity is None:
        reply = framed(404, {}, ())
    else:
        reply = _of_object(act, request, entity)
    if isinstance(act, acts.Delivering):
        reply = _delivered(act, reply)
    if request.method == "HEAD":
        reply = replace(reply, body=(), chunked=False, gzip=False)
    if not request.keeps_alive and reply.ending is Ending.KEEP:
        reply = replace(
            reply, ending=Ending.CLOSE, headers={**reply.headers, "Connection": "close"}
        )
    return reply


def _of_object(
    act: acts.Behaving | acts.Selecting | acts.Relabelling | acts.Reframing | acts.Delivering,
    request: Request,
    entity: Entity,
) -> Reply:
    if isinstance(act, acts.Selecting):
        return portion(entity, _selected(act, request, entity))
    selection = _asked(request, entity)
    honest = portion(entity, selection)
    if isinstance(act, acts.Behaving | acts.Delivering) or isinstance(selection, Unsatisfiable):
        return honest
    if isinstance(act, acts.Relabelling):
        return replace(honest, headers=_relabelled(act, honest.headers))
    if isinstance(act, acts.Reframing):
        return _reframed(act, honest, entity, selection)
    assert_never(act)


def _asked(request: Request, entity: Entity) -> Selection:
    """Return what a server that behaves well selects (RFC 9110 sections 13.2.2 and 14.2)."""
    if_range = request.headers.get("if-range")
    if if_range is not None and not unchanged(if_range, entity.etag, entity.last_modified):
        return Full()
    return _ranged(request, entity)


def _ranged(request: Request, entity: Entity) -> Selection:
    # Range is defined for GET alone (RFC 9110 section 14.2).
    return in_range(request.headers.get("range") if request.method == "GET" else None, entity.size)


def _selected(act: acts.Selecting, request: Request, entity: Entity) -> Selection:
    match act:
        case acts.IgnoreRange():
            return Full()
        case acts.IgnoreIfRange():
            return _ranged(request, entity)
        case acts.NeverSatisfyIfRange():
            return Full() if "if-range" in request.headers else _ranged(request, entity)
        case acts.WrongOffset(shift):
            asked = _asked(request, entity)
            if not isinstance(asked, Part):
                return asked
            return Part(min(max(asked.start + shift, 0), asked.stop - 1), asked.stop)
        case _:
            assert_never(act)


def _instead(act: acts.Instead) -> Reply:
    match act:
        case acts.Status(code, retry_after, body):
            headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
            if code in (204, 304):  # have neither a body nor its length (RFC 9110 section 8.6)
                return Reply(code, headers)
            return framed(code, {**headers, "Content-Type": "text/plain"}, (body,))
        case acts.Html(text):
            return framed(200, {"Content-Type": "text/html; charset=utf-8"}, (text.encode(),))
        case acts.Redirect(location, code):
            return framed(code, {"Location": location}, ())
        case _:
            assert_never(act)


def _relabelled(act: acts.Relabelling, headers: Headers) -> Headers:
    match act:
        case acts.NoContentRange():
            return without(headers, "Content-Range")
        case acts.WrongTotal(wrong):
            honest = headers.get("Content-Range")
            if honest is None:
                return headers
            return {**headers, "Content-Range": f"{honest.partition('/')[0]}/{wrong}"}
        case acts.NoValidator():
            return without(headers, "ETag", "Last-Modified")
        case acts.WeakValidator():
            return {**headers, "ETag": f"W/{headers['ETag'].removeprefix('W/')}"}
        case _:
            assert_never(act)


def _reframed(act: acts.Reframing, honest: Reply, entity: Entity, selection: Full | Part) -> Reply:
    body = honest.body
    match act:
        case acts.Chunked():
            reply = chunked(honest)
        case acts.NoLength():
            reply = unframed(honest)
        case acts.TooLong(extra):
            reply = framed(honest.status, honest.headers, (*body, Filler(extra)))
        case acts.TooLongChunked(extra):
            reply = replace(chunked(honest), body=(*body, Filler(extra)))
        case acts.TooShort(missing):
            reply = framed(honest.status, honest.headers, split(body, total(body) - missing)[0])
        case acts.Gzip():
            # Of a coded object no range can be asked in bytes of the plain one.
            reply = chunked(portion(entity, Full()))
            reply = replace(reply, gzip=True, headers={**reply.headers, "Content-Encoding": "gzip"})
        case acts.Multipart():
            reply = _multipart(honest, entity, selection)
        case acts.Flip(offset):
            reply = replace(honest, body=flip(body, offset))
        case _:
            assert_never(act)
    return reply


def _multipart(honest: Reply, entity: Entity, selection: Full | Part) -> Reply:
    """Return one part, which a reply to a single range must not be (RFC 9110 section 15.3.7.2)."""
    part = Part(0, entity.size) if isinstance(selection, Full) else selection
    lines = (
        f"--{_BOUNDARY}",
        f"Content-Type: {entity.content_type}",
        f"Content-Range: bytes {part.start}-{part.stop - 1}/{entity.size}",
        "",
        "",
    )
    headers = without(honest.headers, "Content-Range")
    headers["Content-Type"] = f"multipart/byteranges; boundary={_BOUNDARY}"
    span = Span(part.start, part.stop - part.start)
    end = f"\r\n--{_BOUNDARY}--\r\n".encode()
    return framed(206, headers, ("\r\n".join(lines).encode(), span, end))


def _delivered(act: acts.Delivering, reply: Reply) -> Reply:
    match act:
        case acts.CutAfter(n, reset):
            ending = Ending.RESET if reset else Ending.CLOSE
            return replace(reply, body=split(reply.body, n)[0], ending=ending)
        case acts.Hang(after):
            return replace(reply, body=split(reply.body, after)[0], ending=Ending.HANG)
        case acts.Drip():
            return replace(reply, drip=act)
        case acts.SlowHeaders(delay_s):
            return replace(reply, delay_s=delay_s)
        case _:
            assert_never(act)
