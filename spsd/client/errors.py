"""Exit statuses of ``spsctl``, and the errors that end a command with one of them."""

from collections.abc import Mapping
from enum import IntEnum
from http import HTTPStatus
from typing import Any


class Exit(IntEnum):
    """Exit statuses; the meaning of a number never changes once it is released."""

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


MEANING: dict[Exit, str] = {
    Exit.DONE: "The command succeeded.",
    Exit.REFUSED: "The server refused the request; the message states why.",
    Exit.USAGE: "The command line, or a file that it names, cannot be used.",
    Exit.NOT_LOGGED_IN: "There is no session, it has expired, or the user may not do this.",
    Exit.NOT_FOUND: "There is no such download, slot or path; or a key prefix is ambiguous.",
    Exit.CONFLICT: "Conflict: a slot is in use, an image is being installed, or a test failed.",
    Exit.UNREACHABLE: "The server cannot be reached, or its response is not one of this API.",
    Exit.NOT_TRUSTED: "The server's certificate is not the pinned one, or does not verify.",
    Exit.FAILED: "The download that the command waited for failed.",
    Exit.CANCELLED: "The download that the command waited for was cancelled, or removed.",
    Exit.SERVER: "The server failed, its disk is full, or it is overloaded.",
    Exit.INTERRUPTED: "Interrupted; the appliance continues what it has started.",
}
"""When each status is used, in one sentence."""

EXIT_BY_STATUS: Mapping[str, Exit] = {
    "finished": Exit.DONE,
    "failed": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
}
"""The final statuses of a download, and the exit status of a command that waited for it."""


def exit_for_http(status: int) -> Exit:
    """The exit status for an HTTP error status."""
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


def is_final(download: Mapping[str, Any]) -> bool:
    """Whether the download (an item of the API's list) has a final status."""
    return download["body"]["status"] in EXIT_BY_STATUS


def exit_for_download(download: Mapping[str, Any]) -> Exit:
    """The exit status of a command that waited for the download."""
    return EXIT_BY_STATUS.get(download["body"]["status"], Exit.DONE)


def table() -> str:
    """Every exit status as a row of a Markdown table."""
    rows = ["| Status | When |", "|---|---|"]
    rows += [f"| {status.value} | {MEANING[status]} |" for status in Exit]
    return "\n".join(rows)


class CommandError(Exception):
    """The command failed; ``str()`` states the reason and, where possible, the remedy."""

    def __init__(self, message: str, exit_: Exit) -> None:
        super().__init__(message)
        self.exit = exit_


class Interrupted(Exception):  # noqa: N818 - no error of the command
    """The person has ended the command at a prompt; ``str()`` states what is so."""


class InputEnded(Interrupted):
    """Standard input ended before an answer: Ctrl-D, or a script."""


class ApiError(CommandError):
    """The server returned an error status; ``str()`` contains the message of the server."""

    def __init__(self, status: int, kind: str, message: str, details: Mapping[str, object]) -> None:
        advice = " Log in with `spsctl login`." if status == HTTPStatus.UNAUTHORIZED else ""
        super().__init__(f"{message} ({kind}, HTTP {status}){advice}", exit_for_http(status))
        self.status = status
        self.kind = kind
        self.details = details
