"""What every command of ``spsctl`` is given: the host, and how to answer."""

import asyncio
import functools
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import click
from rich.console import RenderableType

from spsd.client import showing
from spsd.client.api import connected
from spsd.client.errors import CommandError, Exit
from spsd.client.hosts import Host, Hosts, hosts_path


@dataclass(frozen=True)
class Call:
    """One call of ``spsctl``."""

    hosts: Hosts
    url: str | None
    as_json: bool

    @property
    def host(self) -> Host:
        """The host that is asked.

        Raises:
            CommandError: none is known.
        """
        host = self.hosts.current() if self.url is None else self.hosts.get(self.url)
        if host is None:
            raise CommandError(
                "there is no host yet: `spsctl login https://HOST:8443`", Exit.NOT_LOGGED_IN
            )
        return host

    def answer(self, document: object, shown: Callable[[], RenderableType]) -> None:
        """The document for a program, or what is ``shown`` of it."""
        if self.as_json:
            click.echo(showing.as_json(document))
        else:
            showing.console().print(shown())


def call_of(context: click.Context, *, as_json: bool) -> Call:
    """The call that the command line makes."""
    given = context.find_root().params
    url = given.get("host")
    return Call(
        Hosts(hosts_path(os.environ)),
        None if url is None else canonical(url),
        as_json or bool(given.get("as_json")),
    )


def canonical(url: str) -> str:
    """The URL of a host as it is kept: with a scheme, without a path."""
    whole = url if "://" in url else f"https://{url}"
    return whole.rstrip("/")


json_option = click.option(
    "--json", "as_json", is_flag=True, help="JSON on standard output, nothing else."
)

Work = Callable[..., Coroutine[Any, Any, Exit | None]]
"""Of an :class:`Api`, a :class:`Call`, and whatever the command takes."""


def over_the_api(work: Work) -> Callable[..., None]:
    """A command whose work is done over the API; it ends with the status that the work gives."""

    @json_option
    @click.pass_context
    def command(context: click.Context, /, *given: Any, as_json: bool, **named: Any) -> None:  # noqa: ANN401 - click's
        call = call_of(context, as_json=as_json)

        async def run() -> Exit | None:
            async with connected(call.host) as api:
                return await work(api, call, *given, **named)

        ended(lambda: asyncio.run(run()), as_json=call.as_json)

    return functools.update_wrapper(command, work)


def ended(run: Callable[[], Exit | None], *, as_json: bool) -> None:
    """End the process as the work does: a failure is a sentence and a status, never a traceback."""
    try:
        exit_ = run()
    except CommandError as error:
        if as_json:
            told = {"error": {"message": str(error), "exit": error.exit.value}}
            click.echo(showing.as_json(told))
        else:
            click.echo(f"spsctl: {error}", err=True)
        exit_ = error.exit
    except (KeyboardInterrupt, click.Abort):
        click.echo("spsctl: interrupted; what was begun goes on", err=True)
        exit_ = Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has enough; and nothing is left to be flushed to it.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        exit_ = Exit.DONE
    sys.exit(Exit.DONE if exit_ is None else exit_)
