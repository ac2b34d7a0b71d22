"""`python -m spsd.testing.origin`: the hostile origin as a process of its own.

It prints the URL of each object, then a line for each request when its reply has ended.
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
from spsd.testing.origin.asked import Asked
from spsd.testing.origin.server import Origin
from spsd.testing.origin.spelling import RULES, glossary, parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; gives the exit status, 1 if the port is not to be had."""
    parser = _parser()
    options = parser.parse_args(arguments)
    objects = _objects(parser, options.files)
    context = _context(parser, options.certificate, options.key)
    with ExitStack() as stack:
        log: TextIO | None = None
        if options.log is not None:
            log = stack.enter_context(options.log.open("a", encoding="utf-8", buffering=1))

        def note(asked: Asked) -> None:
            if not options.quiet:
                _say(f"{asked}\n")
            if log is not None:
                log.write(f"{json.dumps(asked.record())}\n")

        origin = Origin(
            objects,
            options.act,
            always=options.always,
            ssl_context=context,
            host=options.host,
            port=options.port,
            on_finished=note,
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
        parser.error("two files of one name cannot both be served")
    for file in files:
        if not file.is_file():
            parser.error(f"not a file: {file}")
    return objects


def _context(
    parser: argparse.ArgumentParser, certificate: Path | None, key: Path | None
) -> ssl.SSLContext | None:
    if (certificate is None) != (key is None):
        parser.error("--certificate and --key go together")
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # as ssl.SSLError is
        parser.error(f"certificate and key cannot be used: {error}")
    return context


class _CannotListenError(Exception):
    """Nobody can be served here; `str()` says why."""


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
        _say("".join(f"{origin.url(path)}\n" for path in paths))
        await stop.wait()


def _say(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads any more; there is still somebody to serve. What is buffered would be tried
        # again at the interpreter's end, and fail there.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _act(text: str) -> Act:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m spsd.testing.origin",
        description="Serve files over HTTP/1.1 and misbehave as told, one act per request.",
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
        help="what to do at the next request; once per request, in order",
    )
    parser.add_argument(
        "--always", type=_act, metavar="ACT", help="what to do after that (default: whole)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="append a JSON object per finished request"
    )
    parser.add_argument("--quiet", action="store_true", help="print no line for each request")
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="serve https")
    parser.add_argument("--key", type=Path, metavar="PEM", help="key of the certificate")
    return parser


if __name__ == "__main__":
    sys.exit(main())
