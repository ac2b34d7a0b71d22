"""What ends a command, with a sentence for a person and a status for a script."""

from collections.abc import Mapping
from http import HTTPStatus

from spsd.client.exits import Exit, exit_of


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
