"""`python -m spsd.testing.conformance`, and the console script `spsd-conformance`."""

import sys


def main() -> None:
    """Run the command line; raises SystemExit, with status 2 if a package is missing."""
    try:
        from spsd.testing.conformance.cli import cli  # noqa: PLC0415 - a package may be missing
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "spsd"):
            raise
        sys.stderr.write(
            f"spsd-conformance: the package {missing} is missing; "
            "install it with: pip install 'spsd[testing]'\n"
        )
        sys.exit(2)
    cli(prog_name="spsd-conformance")


if __name__ == "__main__":
    main()
