"""`python -m spsd.testing.origin`: the hostile origin as a process.

It prints the URL of each object, then one line per request when its response has ended.
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TextIO

from spsd.testing.origin.acts import Act
from spsd.testing.origin.notation import RULES, glossary, parse_act
from spsd.testing.origin.record import RequestRecord
from spsd.testing.origin.server import Origin


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns the exit status: 0, or 1 if the origin cannot listen. Wrong arguments raise SystemExit
    with status 2.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    objects = _objects(parser, options.files)
    context = _context(parser, options.certificate, options.key)
    with ExitStack() as stack:
        log: TextIO | None = None
        if options.log is not None:
            log = stack.enter_context(options.log.open("a", encoding="utf-8", buffering=1))

        def report(record: RequestRecord) -> None:
            if not options.quiet:
                _print(f"{record}\n")
            if log is not None:
                log.write(f"{json.dumps(record.as_dict())}\n")

        origin = Origin(
            objects,
            options.act,
            always=options.always,
            ssl_context=context,
            host=options.host,
            port=options.port,
            on_finished=report,
        )
        try:
            asyncio.run(_serve(origin, list(objects)))
        except _CannotListenError as error:
            sys.stderr.write(f"{parser.prog}: {error}\n")
            return 1
    return 0


def _objects(parser: argparse.ArgumentParser, files: list[Path]) -> dict[str, Path]:
    objects = {f"/{file.name}": file for file in files}
    if len(objects) < len(files):
        parser.error("two files have the same name")
    for file in files:
        if not file.is_file():
            parser.error(f"not a file: {file}")
    return objects


def _context(
    parser: argparse.ArgumentParser, certificate: Path | None, key: Path | None
) -> ssl.SSLContext | None:
    if (certificate is None) != (key is None):
        parser.error("--certificate and --key need each other")
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one, too
        parser.error(f"cannot use the certificate and the key: {error}")
    return context


class _CannotListenError(Exception):
    """The origin cannot listen on its address and port; `str()` gives the reason."""


async def _serve(origin: Origin, paths: list[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(origin)
        except OSError as error:
            # `socket.create_server` adds the address again.
            reason = str(error.strerror or error).partition(" (while ")[0]
            raise _CannotListenError(
                f"cannot listen on {origin.host}, port {origin.port}: {reason}"
            ) from error
        _print("".join(f"{origin.url(path)}\n" for path in paths))
        await stop.wait()


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output is gone, but clients are still served. The interpreter would
        # write the buffered rest again at its end and fail there, so the output goes to devnull.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _act(text: str) -> Act:
    try:
        return parse_act(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m spsd.testing.origin",
        description="Serve files over HTTP/1.1 and misbehave by a script, one act per request.",
        epilog=f"{RULES}\n\nacts:\n{glossary()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="served at /NAME")
    parser.add_argument(
        "--act",
        action="append",
        default=[],
        type=_act,
        metavar="ACT",
        help="the act for the next request; may be repeated, in the order of the requests",
    )
    parser.add_argument(
        "--always", type=_act, metavar="ACT", help="the act for all later requests (default: whole)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="append a JSON object per finished request"
    )
    parser.add_argument("--quiet", action="store_true", help="print no lines about requests")
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="serve https")
    parser.add_argument("--key", type=Path, metavar="PEM", help="key of the certificate")
    return parser


if __name__ == "__main__":
    sys.exit(main())
