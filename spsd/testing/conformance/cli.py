"""`spsd-conformance`: the command line that tests a server."""

import getpass
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.console import Console

from spsd.testing.client import Client
from spsd.testing.conformance import report
from spsd.testing.conformance.fact import Fact, Section, parse_version
from spsd.testing.conformance.facts import FACTS
from spsd.testing.conformance.image import fresh_image
from spsd.testing.conformance.run import Result, Verdict, run, summary
from spsd.testing.conformance.target import Reach, Target, log_out

PASSWORD, LIMITED_PASSWORD = "SPSD_PASSWORD", "SPSD_LIMITED_PASSWORD"


class Unusable(click.ClickException):
    """The server cannot be tried: exit status 2."""

    exit_code = 2


@click.command()
@click.argument("url", required=False)
@click.option("--user", help="Log in as this user, who must have all permissions.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help=f"Read the password from standard input; default: ${PASSWORD}, or a prompt.",
)
@click.option(
    "--limited-user",
    metavar="NAME",
    help=f"A second user, without write permission; the password is in ${LIMITED_PASSWORD}.",
)
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Verify the server with these certificates.",
)
@click.option("--insecure", is_flag=True, help="Do not verify the server's certificate.")
@click.option(
    "--origin-host",
    metavar="ADDRESS",
    help="Serve images at this address of this machine; default: the one on the server's route.",
)
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A firmware image that the server accepts; default: a small ISO made by the run.",
)
@click.option("--read-only", is_flag=True, help="Only read.")
@click.option("--writes", is_flag=True, help="Fill and empty slots, too.")
@click.option(
    "--destructive",
    is_flag=True,
    help="Upgrade, too: the run's image is chosen for the next boot, and the server may restart.",
)
@click.option(
    "--section",
    "sections",
    multiple=True,
    type=click.Choice([section.name.lower() for section in Section]),
    help="Only facts of this section; may be repeated.",
)
@click.option(
    "--api-version",
    callback=lambda _context, _option, text: _version(text),
    metavar="VERSION",
    help="Skip facts that are only known of versions of the API after this one, such as 7.0.",
)
@click.option("--patience", default=60.0, show_default=True, help="Seconds to wait for a download.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--list", "list_only", is_flag=True, help="Print all facts without trying them.")
def cli(
    *,
    url: str | None,
    user: str | None,
    password_stdin: bool,
    limited_user: str | None,
    ca_file: Path | None,
    insecure: bool,
    origin_host: str | None,
    image: Path | None,
    read_only: bool,
    writes: bool,
    destructive: bool,
    sections: Sequence[str],
    api_version: tuple[int, ...] | None,
    patience: float,
    as_json: bool,
    list_only: bool,
) -> None:
    """Try which known facts of the firmware API hold at the server at URL.

    By default it reads, sends requests that are refused, and lets the server fetch files from this
    machine that it does not keep. Exit status: 0 if every binding fact that was tried holds (those
    that are documented or seen in a sample), 1 if one is broken, 2 if the server cannot be tried.
    """
    facts = [fact for fact in FACTS if not sections or fact.section.name.lower() in sections]
    if list_only:
        click.echo(
            "\n".join(f"{fact.id:<28} [{report.mark(fact)}] {fact.sentence}" for fact in facts)
        )
        return
    if url is None or user is None:
        raise click.UsageError("a server and a user are needed: URL --user NAME")
    if read_only and (writes or destructive):
        raise click.UsageError("--read-only excludes --writes and --destructive")
    context = _context(ca_file, insecure=insecure)
    session = _logged_in(_client(url, context), user, _password(user, stdin=password_stdin))
    limited = None
    if limited_user is not None:
        limited_password = os.environ.get(LIMITED_PASSWORD)
        if limited_password is None:
            raise click.UsageError(f"the password of {limited_user} must be in ${LIMITED_PASSWORD}")
        limited = _logged_in(_client(url, context), limited_user, limited_password)[0]
    target = Target(
        session=session[0],
        user=user,
        password=session[1],
        limited=limited,
        image=_image(image),
        reach=_reach(read_only=read_only, writes=writes, destructive=destructive),
        origin_host=origin_host,
        api_version=api_version,
        job_timeout_s=patience,
    )
    sys.exit(_run(target, facts, as_json=as_json))


def _run(target: Target, facts: Sequence[Fact], *, as_json: bool) -> int:
    results: list[Result] = []
    try:
        with click.progressbar(
            run(target, facts),
            length=len(facts),
            label="trying",
            file=sys.stderr,
            hidden=not sys.stderr.isatty(),
        ) as progress:
            results.extend(progress)
    finally:
        target.close()
        for client in (target.session, target.limited):
            if client is not None:
                log_out(client)
    if as_json:
        click.echo(report.as_json(target.session.url, results, target.left_behind))
    else:
        if sys.stdout.isatty():
            report.table(results, Console())
        else:
            click.echo(report.lines(results))
        for sentence in target.left_behind:
            click.echo(f"left behind: {sentence}")
        click.echo(summary(results))
    return int(any(result.verdict is Verdict.BROKEN for result in results))


def _reach(*, read_only: bool, writes: bool, destructive: bool) -> Reach:
    if destructive:
        return Reach.DESTRUCTIVE
    if writes:
        return Reach.WRITES
    return Reach.READS if read_only else Reach.REQUESTS


def _version(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else parse_version(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} is no version, such as 7.0") from error


def _image(file: Path | None) -> Callable[[], bytes]:
    return fresh_image if file is None else file.read_bytes


def _context(ca_file: Path | None, *, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise Unusable(f"{ca_file} holds no certificates: {error}") from error
    # This run tests the API, not the certificate. The same under every Python: decision 0027.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _client(url: str, context: ssl.SSLContext) -> Client:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise click.UsageError(f"{url} is no URL of a server, such as https://192.0.2.7:8443")
    return Client(url.rstrip("/"), context)


def _password(user: str, *, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    password = os.environ.get(PASSWORD)
    if password is not None:
        return password
    if not sys.stdin.isatty():
        raise click.UsageError(f"the password of {user}: --password-stdin, or ${PASSWORD}")
    return getpass.getpass(f"Password of {user}: ")


def _logged_in(client: Client, user: str, password: str) -> tuple[Client, str]:
    try:
        answer = client.log_in(user, password)
    except ssl.SSLCertVerificationError as error:
        raise Unusable(
            f"{client.url}: the certificate cannot be trusted ({error.verify_message}); "
            "name its authority with --ca-file, or use --insecure"
        ) from error
    except (OSError, HTTPException) as error:
        raise Unusable(f"cannot connect to {client.url}: {error}") from error
    if answer.status != 200 or client.cookie is None:
        raise Unusable(
            f"{client.url} refuses the log-in of {user} with the status {answer.status}: "
            f"{answer.content[:200].decode('utf-8', 'replace')}"
        )
    return client, password
