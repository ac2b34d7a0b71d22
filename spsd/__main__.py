"""``python -m spsd`` and the ``spsd`` command."""

import signal
import sys

from spsd.hangup import ignore_hangup, remember_hangup


def main() -> None:
    """Run the command line of this process; it ends with ``SystemExit``."""
    if next((word for word in sys.argv[1:] if not word.startswith("-")), "") != "serve":
        _run()
        return
    remember_hangup()
    # Like SIGTERM, an interrupt ends the start without a traceback; later both stop the loop.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        _run()
    finally:
        ignore_hangup()


def _run() -> None:
    # Most of the start is this import, and a reload may be requested meanwhile.
    from spsd.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
