"""How ``spsctl`` ends: one status for each kind of failure."""

from enum import IntEnum
from http import HTTPStatus
from typing import assert_never


class Exit(IntEnum):
    """Exit statuses; a number once given keeps its meaning."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_LOGGED_IN = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNREACHABLE = 6
    NOT_TRUSTED = 7
    FAILED = 8
    CANCELLED = 9
    SERVER = 10
    INTERRUPTED = 130


def meaning(exit_: Exit) -> str:  # noqa: C901 - a row for each
    """In a sentence."""
    match exit_:
        case Exit.DONE:
            return "What was asked for is done."
        case Exit.REFUSED:
            return "The server refuses the request as it is; the message says why."
        case Exit.USAGE:
            return "The command line, or a file that it names, cannot be used."
        case Exit.NOT_LOGGED_IN:
            return "There is no session, it is over, or the user may not do this."
        case Exit.NOT_FOUND:
            return "There is no such download, slot or path; or a prefix fits several."
        case Exit.CONFLICT:
            return "It cannot be done now: the slot is in use, the image is being installed, a test failed."
        case Exit.UNREACHABLE:
            return "The server cannot be reached, or speaks no HTTP."
        case Exit.NOT_TRUSTED:
            return "The server's certificate is not the one that was pinned, or does not verify."
        case Exit.FAILED:
            return "The download that was waited for failed."
        case Exit.CANCELLED:
            return "The download that was waited for was cancelled, or its record removed."
        case Exit.SERVER:
            return "The server failed, its disk is full, or it is busy."
        case Exit.INTERRUPTED:
            return "Interrupted by Ctrl-C; what the server was told to do goes on."
        case _:
            assert_never(exit_)


def exit_of(status: int) -> Exit:
    """For an answer that is no success."""
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Exit.NOT_LOGGED_IN
        case HTTPStatus.NOT_FOUND:
            return Exit.NOT_FOUND
        case HTTPStatus.CONFLICT:
            return Exit.CONFLICT
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Exit.SERVER
        case _:
            return Exit.REFUSED


def table() -> str:
    """Every status as a row of a Markdown table."""
    rows = ["| Status | When |", "|---|---|"]
    rows += [f"| {one.value} | {meaning(one)} |" for one in Exit]
    return "\n".join(rows)
