"""The command line: its commands, its options, and what it exits with."""

from __future__ import annotations

import io
import logging
import math
import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..endpoints import StandardIO, parse_endpoint
from ..options import LINGER_TIMEOUT, ConnectionOptions
from ..reasons import HalfcloseError
from .report import FAILED, USAGE, Problem, discard_output, one_line, say, status_of

__all__ = ["run_command"]

_INTERRUPTED = 130
_LEVELS = ("debug", "info", "warning", "error")


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """An option's value as a number of seconds; a callback of click's."""
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise click.BadParameter(f"{value!r} is no number of seconds, 0 or more")
    return number


_backend = click.option(
    "--backend",
    metavar="NAME",
    help="Backend to use, such as twisted or anyio+trio; see 'halfclose backends'.",
)
_half_close_timeout = click.option(
    "--half-close-timeout",
    metavar="S",
    callback=_seconds,
    help="Give up a half-closed connection after S seconds without a byte. [default: never]",
)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Serve and use half-closeable protocols, on any event loop.

    ENDPOINT is tcp:HOST:PORT (tcp:[::1]:80), unix:PATH, or stdio:.
    """
    if ctx.invoked_subcommand is None:
        raise click.UsageError(f"no command; there are: {', '.join(sorted(cli.commands))}", ctx)


@cli.command()
@click.argument("protocol", metavar="MODULE:CLASS")
@click.argument("endpoint", metavar="ENDPOINT")
@_backend
@_half_close_timeout
@click.option(
    "--close-timeout",
    metavar="S",
    callback=_seconds,
    help="Give up a connection that is being closed after S seconds without progress. "
    "[default: never]",
)
@click.option(
    "--linger",
    metavar="S",
    callback=_seconds,
    default=str(LINGER_TIMEOUT),
    help="Go on discarding a closed connection's input, so that the peer can read everything, "
    "for at most S seconds without progress; 0: do not.",
    show_default=True,
)
@click.option(
    "--log-level",
    type=click.Choice(_LEVELS),
    default="info",
    show_default=True,
    help="What to log on stderr.",
)
def run(
    protocol: str,
    endpoint: str,
    backend: str | None,
    half_close_timeout: float | None,
    close_timeout: float | None,
    linger: float,
    log_level: str,
) -> int:
    """Serve a protocol on ENDPOINT, or attach it to stdio:.

    MODULE is a file (./my_echo.py) or a module that can be imported, also from the current
    directory; CLASS derives from halfclose.Protocol. Try halfclose.examples:Echo.

    The bound endpoint is told on stderr; with port 0 the system chooses the port. SIGINT and
    SIGTERM close every connection gracefully, a second one aborts. On stdio: it ends with the
    connection.
    """
    from .loading import load_protocol
    from .serving import serve

    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=log_level.upper())
    options = ConnectionOptions(
        linger_timeout=linger, close_timeout=close_timeout, half_close_timeout=half_close_timeout
    )
    where = parse_endpoint(endpoint)
    return serve(load_protocol(protocol), where, backend, options)


@cli.command()
@click.argument("endpoint", metavar="ENDPOINT")
@_backend
@click.option(
    "--timeout",
    metavar="S",
    callback=_seconds,
    default="30",
    show_default=True,
    help="Seconds for connecting, the name lookup included.",
)
@_half_close_timeout
def connect(
    endpoint: str, backend: str | None, timeout: float, half_close_timeout: float | None
) -> int:
    """Carry standard input to ENDPOINT and what comes from there to standard output.

    The end of standard input becomes a half-close, the peer's half-close ends standard output,
    and the command ends when both have ended: with 0, or with 1 where the connection was refused
    or lost.
    """
    from .relaying import relay

    where = parse_endpoint(endpoint)
    if isinstance(where, StandardIO):
        raise Problem("connect carries stdio: to another endpoint, not to itself", USAGE)
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.ERROR)
    return relay(where, backend, timeout, ConnectionOptions(half_close_timeout=half_close_timeout))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON list of objects.")
def backends(as_json: bool) -> int:
    """List every backend and variant: where it comes from, whether it loads, and why not."""
    from .listing import list_backends

    return list_backends(as_json=as_json)


@cli.command()
def demo() -> int:
    """Hold one conversation, half-closes and all, on every variant, side by side.

    Exits with 1 if they do not agree.
    """
    from .demo import demo as hold

    return hold()


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status. No error comes out but a SystemExit.

    :param arguments: by default ``sys.argv``'s.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A plugin's name or failure may hold what the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(
            None if arguments is None else list(arguments),
            prog_name="halfclose",
            standalone_mode=False,
        )
        if sys.stdout is not None:
            sys.stdout.flush()
        return status or 0
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except click.ClickException as error:
        say(f"halfclose: {_explained(error)}")
        return error.exit_code
    except (Problem, HalfcloseError) as error:
        say(f"halfclose: {one_line(error)}")
        return status_of(error)
    except BrokenPipeError:
        discard_output()
        return FAILED
    except OSError as error:
        say(f"halfclose: {one_line(error)}")
        discard_output()
        return FAILED


def _explained(error: click.ClickException) -> str:
    text = one_line(error.format_message()).rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text += f" (see '{error.ctx.command_path} --help')"
    return text
