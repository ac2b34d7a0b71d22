"""What ends a command: a sentence for a person, and an exit status for a script."""

from collections.abc import Mapping
from enum import IntEnum
from http import HTTPStatus


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


MEANING: dict[Exit, str] = {
    Exit.DONE: "What was asked for is done.",
    Exit.REFUSED: "The server refuses the request as it is; the message says why.",
    Exit.USAGE: "The command line, or a file that it names, cannot be used.",
    Exit.NOT_LOGGED_IN: "There is no session, it is over, or the user may not do this.",
    Exit.NOT_FOUND: "There is no such download, slot or path; or a prefix fits several.",
    Exit.CONFLICT: "Not now: a slot is in use, an image is being installed, a test failed.",
    Exit.UNREACHABLE: "The server cannot be reached, or does not speak this API.",
    Exit.NOT_TRUSTED: "The server's certificate is not the pinned one, or does not verify.",
    Exit.FAILED: "The download that was waited for failed.",
    Exit.CANCELLED: "The download that was waited for was cancelled, or its record removed.",
    Exit.SERVER: "The server failed, its disk is full, or it is busy.",
    Exit.INTERRUPTED: "Interrupted; what the server was told to do goes on.",
}
"""When each is used, in a sentence."""


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
    rows += [f"| {one.value} | {MEANING[one]} |" for one in Exit]
    return "\n".join(rows)


class CommandError(Exception):
    """The command has failed: ``str()`` says how and what to do."""

    def __init__(self, message: str, exit_: Exit) -> None:
        super().__init__(message)
        self.exit = exit_


class ApiError(CommandError):
    """The server answered that it will not, with its own sentence."""

    def __init__(self, status: int, kind: str, message: str, details: Mapping[str, object]) -> None:
        advice = " `spsctl login` opens a session." if status == HTTPStatus.UNAUTHORIZED else ""
        super().__init__(f"{message} ({kind}, HTTP {status}){advice}", exit_of(status))
        self.status = status
        self.kind = kind
        self.details = details
