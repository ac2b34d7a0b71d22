"""``python -m spsd`` and the ``spsd`` command."""

import signal
import sys

from spsd.hangup import remember_hangup


def main() -> None:
    """Run the command line of this process; it ends with ``SystemExit``."""
    if next((word for word in sys.argv[1:] if not word.startswith("-")), "") == "serve":
        remember_hangup()
        # Like SIGTERM, an interrupt ends the start without a traceback; later both stop the loop.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Most of the start is this import, and a reload may be requested meanwhile.
    from spsd.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
