"""One invocation of ``spsctl``: its host, its output format, and its exit status."""

import asyncio
import functools
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import click
from rich.console import RenderableType

from spsd.client import display
from spsd.client.api import open_api
from spsd.client.errors import CommandError, Exit, Interrupted
from spsd.client.hosts import Host, Hosts, normalize_url, open_hosts
from spsd.text import capped, harmless


@dataclass(frozen=True)
class Invocation:
    """The options that all commands share; ``url`` is None without ``--host``."""

    hosts: Hosts
    url: str | None
    as_json: bool

    @classmethod
    def from_context(cls, context: click.Context, *, as_json: bool) -> "Invocation":
        """The invocation that click has parsed; ``as_json`` is the option of the command."""
        options = context.find_root().params
        return cls(open_hosts(os.environ), options.get("host"), as_json)

    @property
    def host(self) -> Host:
        """The host of ``--host``, or that of the last log-in.

        Raises:
            CommandError: there is neither, the URL is none of a host, or the file of the hosts
                cannot be read.
        """
        return self.host_at(self.url)

    def host_at(self, url: str | None) -> Host:
        """The host with that URL, or for None that of the last log-in; raises as :attr:`host`."""
        host = self.hosts.current() if url is None else self.hosts.get(normalize_url(url))
        if host is None:
            raise CommandError(
                "no host is known; log in first: `spsctl login https://HOST:8443`",
                Exit.NOT_LOGGED_IN,
            )
        return host

    def output(self, document: object, render: Callable[[], RenderableType]) -> None:
        """Print the result: ``document`` as JSON with ``--json``, else what ``render`` returns."""
        if self.as_json:
            click.echo(display.json_line(document))
        else:
            display.open_console().print(display.printable(render()))


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else."
)

ApiFunction = Callable[..., Coroutine[Any, Any, Exit | None]]
"""Takes an :class:`Api`, an :class:`Invocation` and the parameters of the command."""


def api_command(function: ApiFunction) -> Callable[..., None]:
    """Turn ``function`` into a command: it runs with the API of the host and with ``--json``.

    The process exits with the status that ``function`` returns, 0 for None.
    """

    @json_option
    @click.pass_context
    def command(context: click.Context, /, *values: Any, as_json: bool, **named: Any) -> None:  # noqa: ANN401 - click's
        invocation = Invocation.from_context(context, as_json=as_json)

        async def run() -> Exit | None:
            async with open_api(invocation.host) as api:
                return await function(api, invocation, *values, **named)

        run_and_exit(lambda: asyncio.run(run()), as_json=invocation.as_json)

    return functools.update_wrapper(command, function)


def run_and_exit(run: Callable[[], Exit | None], *, as_json: bool) -> None:
    """Call ``run`` and exit with its status.

    A :class:`CommandError` is printed as one sentence, or as JSON, without a traceback.
    """
    try:
        status = run()
    except CommandError as error:
        if as_json:
            message = capped(str(error))
            document = {"error": {"message": message, "exit": error.exit.value}}
            click.echo(display.json_line(document))
        else:
            click.echo(f"spsctl: {harmless(str(error))}", err=True)
        status = error.exit
    except Interrupted as interrupted:
        click.echo(f"spsctl: {interrupted}", err=True)
        status = Exit.INTERRUPTED
    except KeyboardInterrupt:
        click.echo("spsctl: interrupted; the appliance continues what it has started", err=True)
        status = Exit.INTERRUPTED
    except BrokenPipeError:
        # The reading process has closed the pipe (`spsctl … | head`), which is no error. Without
        # this, Python would fail again when it flushes standard output at exit.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - stays open until the exit
        status = Exit.DONE
    sys.exit(Exit.DONE if status is None else status)
