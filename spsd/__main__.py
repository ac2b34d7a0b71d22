"""``python -m spsd`` and the ``spsd`` command."""

from spsd.cli import main

if __name__ == "__main__":
    main()
