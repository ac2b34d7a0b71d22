"""Questions to the person at the terminal. Each ends at the first Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from spsd.client.errors import InputEnded, Interrupted
from spsd.text import visible

_RECHECK_S = 0.1


def ask(question: str, *, default: str | None = None, hidden: bool = False) -> str:
    """The answer, which is not empty.

    Raises:
        Interrupted: Ctrl-C, or :class:`InputEnded`.
    """
    with _one_interrupt():
        return str(click.prompt(visible(question), default=default, hide_input=hidden, err=True))


def confirm(question: str) -> bool:
    """Whether the answer is yes; raises as :func:`ask`."""
    with _one_interrupt():
        return click.confirm(visible(question), err=True)


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Let SIGINT end a read inside the context.

    The handler of :class:`asyncio.Runner` cancels the main task instead, which a read that blocks
    the event loop outlasts. Where SIGINT is ignored, as in a background job, it stays ignored.

    A signal between the output of a prompt and its read does not end the read: Python runs handlers
    only after it. So a timer interrupts the read, again and again; it then continues if there was
    no SIGINT.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    alarm = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, _RECHECK_S, _RECHECK_S)
    try:
        yield
    except click.Abort as abort:
        click.echo(err=True)  # the question and "^C" stand in this line
        # click raises the same for both.
        if isinstance(abort.__context__, EOFError):
            raise InputEnded("the input ended before an answer; nothing was changed") from None
        raise Interrupted("interrupted; nothing was changed") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGINT, before)
