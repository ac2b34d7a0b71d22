"""The command line of ``spsctl``: the group of its commands, and shell completion."""

import io
import sys

import click
from click.shell_completion import get_completion_class

from spsd import __version__
from spsd.client import download_commands, session_commands, slot_commands
from spsd.client.errors import Exit
from spsd.text import visible_lines


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="spsctl")
@click.option("--host", envvar="SPSCTL_HOST", help="URL of the host; default: the last log-in.")
def main(host: str | None) -> None:
    """Manage the firmware of an appliance over its REST API."""


def run() -> None:
    """Run the command line of this process; ends with ``SystemExit``."""
    try:
        result = main(prog_name="spsctl", complete_var="_SPSCTL_COMPLETE", standalone_mode=False)
    except click.ClickException as error:
        # click's own words, which quote arguments: scripts pass text of strangers in them.
        words = io.StringIO()
        error.show(words)
        click.echo("\n".join(visible_lines(words.getvalue())), err=True, nl=False)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("spsctl: interrupted", err=True)
        sys.exit(Exit.INTERRUPTED)
    sys.exit(result if isinstance(result, int) else Exit.DONE)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL. Use: eval "$(spsctl completion bash)"."""
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise click.UsageError(f"click does not support {shell}")
    click.echo(completion_class(main, {}, "spsctl", "_SPSCTL_COMPLETE").source())


for command in (
    session_commands.login,
    session_commands.logout,
    session_commands.forget,
    download_commands.fetch,
    download_commands.list_downloads,
    download_commands.show,
    download_commands.watch,
    download_commands.cancel,
    download_commands.remove,
    slot_commands.list_slots,
    slot_commands.upload,
    slot_commands.test,
    slot_commands.upgrade,
    slot_commands.show_info,
):
    main.add_command(command)
