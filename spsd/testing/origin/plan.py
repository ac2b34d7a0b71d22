"""The decision which response an act, a request and an object give; no input or output."""

from dataclasses import replace
from typing import Final, assert_never

from spsd.testing.origin import acts
from spsd.testing.origin.body import Filler, Span, flip, split, total
from spsd.testing.origin.ranges import (
    Full,
    Part,
    Selection,
    Unsatisfiable,
    if_range_matches,
    select_range,
)
from spsd.testing.origin.request import Request
from spsd.testing.origin.response import (
    Ending,
    Entity,
    Headers,
    Response,
    chunked,
    object_response,
    sized,
    unsized,
    without_fields,
)

_BOUNDARY: Final = "spsd-part"


def plan_response(act: acts.RespondingAct, request: Request, entity: Entity | None) -> Response:
    """Return the response to the request; `entity` is None if there is no object at the path."""
    # Step 1: the method. Only GET and HEAD are allowed; Allow lists them (RFC 9110 15.5.6).
    if request.method not in ("GET", "HEAD"):
        response = sized(405, {"Allow": "GET, HEAD"}, ())
    # Step 2: the act, if it replaces the object; else the object, if there is one.
    elif isinstance(act, acts.ReplacingAct):
        response = _replacing_response(act)
    elif entity is None:
        response = sized(404, {}, ())
    else:
        response = _object_response(act, request, entity)
    # Step 3: how the response is sent.
    if isinstance(act, acts.DeliveryAct):
        response = _with_delivery(act, response)
    # Step 4: a response to HEAD has the same fields and no body (RFC 9110 section 9.3.2).
    if request.method == "HEAD":
        response = replace(response, body=(), chunked=False, gzip=False)
    # Step 5: the connection closes after this response if the client asks for it (RFC 9112 9.6).
    if not request.keeps_alive and response.ending is Ending.KEEP:
        response = replace(
            response, ending=Ending.CLOSE, headers={**response.headers, "Connection": "close"}
        )
    return response


def _object_response(
    act: acts.CorrectAct | acts.RangeAct | acts.HeaderAct | acts.BodyAct | acts.DeliveryAct,
    request: Request,
    entity: Entity,
) -> Response:
    if isinstance(act, acts.RangeAct):
        return object_response(entity, _wrong_selection(act, request, entity))
    selection = _selection(request, entity)
    correct = object_response(entity, selection)
    if isinstance(act, acts.CorrectAct | acts.DeliveryAct) or isinstance(selection, Unsatisfiable):
        return correct
    if isinstance(act, acts.HeaderAct):
        return replace(correct, headers=_wrong_headers(act, correct.headers))
    if isinstance(act, acts.BodyAct):
        return _wrong_body(act, correct, entity, selection)
    assert_never(act)


def _selection(request: Request, entity: Entity) -> Selection:
    """Return what a correct server selects (RFC 9110 sections 13.2.2 and 14.2)."""
    if_range = request.headers.get("if-range")
    if if_range is not None and not if_range_matches(if_range, entity.etag, entity.last_modified):
        return Full()
    return _range_selection(request, entity)


def _range_selection(request: Request, entity: Entity) -> Selection:
    # Range is defined for GET alone (RFC 9110 section 14.2).
    return select_range(
        request.headers.get("range") if request.method == "GET" else None, entity.size
    )


def _wrong_selection(act: acts.RangeAct, request: Request, entity: Entity) -> Selection:
    match act:
        case acts.IgnoreRange():
            return Full()
        case acts.IgnoreIfRange():
            return _range_selection(request, entity)
        case acts.NeverSatisfyIfRange():
            return Full() if "if-range" in request.headers else _range_selection(request, entity)
        case acts.WrongOffset(shift):
            correct = _selection(request, entity)
            if not isinstance(correct, Part):
                return correct
            return Part(min(max(correct.start + shift, 0), correct.stop - 1), correct.stop)
        case _:
            assert_never(act)


def _replacing_response(act: acts.ReplacingAct) -> Response:
    match act:
        case acts.Status(code, retry_after, body):
            headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
            if code in (204, 304):  # no body and no Content-Length (RFC 9110 section 8.6)
                return Response(code, headers)
            return sized(code, {**headers, "Content-Type": "text/plain"}, (body,))
        case acts.Html(text):
            return sized(200, {"Content-Type": "text/html; charset=utf-8"}, (text.encode(),))
        case acts.Redirect(location, code):
            return sized(code, {"Location": location}, ())
        case _:
            assert_never(act)


def _wrong_headers(act: acts.HeaderAct, headers: Headers) -> Headers:
    match act:
        case acts.NoContentRange():
            return without_fields(headers, "Content-Range")
        case acts.WrongTotal(wrong):
            content_range = headers.get("Content-Range")
            if content_range is None:
                return headers
            return {**headers, "Content-Range": f"{content_range.partition('/')[0]}/{wrong}"}
        case acts.NoValidator():
            return without_fields(headers, "ETag", "Last-Modified")
        case acts.WeakValidator():
            return {**headers, "ETag": f"W/{headers['ETag'].removeprefix('W/')}"}
        case _:
            assert_never(act)


def _wrong_body(
    act: acts.BodyAct, correct: Response, entity: Entity, selection: Full | Part
) -> Response:
    body = correct.body
    match act:
        case acts.Chunked():
            response = chunked(correct)
        case acts.NoLength():
            response = unsized(correct)
        case acts.TooLong(extra):
            response = sized(correct.status, correct.headers, (*body, Filler(extra)))
        case acts.TooLongChunked(extra):
            response = replace(chunked(correct), body=(*body, Filler(extra)))
        case acts.TooShort(missing):
            response = sized(correct.status, correct.headers, split(body, total(body) - missing)[0])
        case acts.Gzip():
            # A range of a coded object would count coded bytes, so the whole object is sent.
            response = chunked(object_response(entity, Full()))
            response = replace(
                response, gzip=True, headers={**response.headers, "Content-Encoding": "gzip"}
            )
        case acts.Multipart():
            response = _multipart(correct, entity, selection)
        case acts.Flip(offset):
            response = replace(correct, body=flip(body, offset))
        case _:
            assert_never(act)
    return response


def _multipart(correct: Response, entity: Entity, selection: Full | Part) -> Response:
    """Return one part, although a single range must not be sent so (RFC 9110 15.3.7.2)."""
    part = Part(0, entity.size) if isinstance(selection, Full) else selection
    lines = (
        f"--{_BOUNDARY}",
        f"Content-Type: {entity.content_type}",
        f"Content-Range: bytes {part.start}-{part.stop - 1}/{entity.size}",
        "",
        "",
    )
    headers = without_fields(correct.headers, "Content-Range")
    headers["Content-Type"] = f"multipart/byteranges; boundary={_BOUNDARY}"
    span = Span(part.start, part.stop - part.start)
    end = f"\r\n--{_BOUNDARY}--\r\n".encode()
    return sized(206, headers, ("\r\n".join(lines).encode(), span, end))


def _with_delivery(act: acts.DeliveryAct, response: Response) -> Response:
    match act:
        case acts.CutAfter(n, reset):
            ending = Ending.RESET if reset else Ending.CLOSE
            return replace(response, body=split(response.body, n)[0], ending=ending)
        case acts.Hang(after):
            return replace(response, body=split(response.body, after)[0], ending=Ending.HANG)
        case acts.Drip():
            return replace(response, drip=act)
        case acts.SlowHeaders(delay_s):
            return replace(response, delay_s=delay_s)
        case _:
            assert_never(act)
