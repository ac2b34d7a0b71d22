"""Questions to the person at the terminal. Each ends at the first Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from spsd.client.errors import InputEnded, Interrupted
from spsd.text import visible

_CHECK_EVERY_S, _AGAIN_S = 0.1, 1.0


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

    Python may lose the exception of a handler: after a signal between the output of a question and
    its read the handler runs only when the read ends, and ``input()`` discards an exception of the
    flush that shows the question. So SIGINT is only noted, and a timer interrupts the read, again
    and again: if there was a SIGINT, it ends the read, else that continues.
    """
    interrupted = False

    def note(*_: object) -> None:
        nonlocal interrupted
        interrupted = True

    def check(*_: object) -> None:
        if interrupted:
            # The exception needs some time to arrive below.
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, note)
    alarm = signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, _CHECK_EVERY_S, _CHECK_EVERY_S)
    try:
        yield
    except (click.Abort, KeyboardInterrupt) as end:
        signal.setitimer(signal.ITIMER_REAL, 0)
        click.echo(err=True)  # the question and "^C" stand in this line
        # click raises the same for both.
        if isinstance(end.__context__, EOFError):
            raise InputEnded("the input ended before an answer; nothing was changed") from None
        raise Interrupted("interrupted; nothing was changed") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGINT, before)
