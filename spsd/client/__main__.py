"""``python -m spsd.client`` is ``spsctl``."""

from spsd.client.cli import run

if __name__ == "__main__":
    run()
