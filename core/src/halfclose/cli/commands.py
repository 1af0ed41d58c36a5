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
from ..plugins import available_backends
from ..reasons import HalfcloseError
from .report import FAILED, USAGE, Problem, discard_output, one_line, say, status_of

__all__ = ["run_command"]

_INTERRUPTED = 130
_LEVELS = ("debug", "info", "warning", "error")
_A_DAY = 86400.0


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


def _time_limit(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """An option's value as a number of seconds in which something can happen; a callback."""
    number = _seconds(ctx, param, value)
    if not number or number > _A_DAY:
        raise click.BadParameter(
            f"{value!r} is no number of seconds, more than 0 and at most {_A_DAY:.0f}"
        )
    return number


def _list(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[str]:
    """The values of an option, each a list with commas; a callback."""
    found = [item.strip() for items in value for item in items.split(",")]
    if not all(found):
        raise click.BadParameter("there is nothing before or after a comma")
    return found


def _names(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of backends, one at least; a callback."""
    if not value:
        there = ", ".join(available_backends()) or "none"
        raise click.UsageError(f"which backend? Name one or more; there are: {there}", ctx)
    return value


_backend = click.option(
    "--backend",
    metavar="NAME",
    help="Backend to use, such as twisted or anyio+trio; see 'halfclose backends'.",
)
_backends = click.argument("names", metavar="NAME...", nargs=-1, callback=_names)
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

    ENDPOINT is tcp:HOST:PORT (tcp:[::1]:80; tcp:*:80 listens on every address), unix:PATH
    (unix:@NAME is abstract), or stdio:.
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


@cli.command()
@_backends
@click.option(
    "--only",
    metavar="RULE",
    multiple=True,
    callback=_list,
    help="Only this rule, such as EVT-05, or chapter, such as EVT. Repeatable; commas separate.",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object; see above.")
@click.option("-v", "--verbose", is_flag=True, help="Show the whole report of every failure.")
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1),
    help="Judge N cases at once. [default: one for each processor]",
)
@click.option(
    "--time-limit",
    metavar="S",
    callback=_time_limit,
    default="60",
    show_default=True,
    help="Seconds for each case; one that takes longer is killed, and has failed.",
)
def contract(
    names: tuple[str, ...],
    only: list[str],
    as_json: bool,
    verbose: bool,
    jobs: int | None,
    time_limit: float,
) -> int:
    """Hold backends to the contract: every rule, on every kind of channel.

    NAME is a backend or variant, such as anyio+trio; see 'halfclose backends'. Each case, a rule
    on a kind of channel, runs in a process of its own. For a rule that is broken it is told what
    was seen, what the rule says, and where to look. Exits with 1 if a rule is broken or a backend
    does not load.

    \b
    --json prints one object:
      kept      whether every backend loads and keeps every rule
      complete  whether every case was judged; false after ^C
      seconds   how long it took
      backends  objects in the order asked: name, loads, error (or null),
                kinds (of channel, by name), cases and broken (numbers)
      rules     by id, objects: statement, where (to look)
      verdicts  objects by backend, rule and kind: rule, backend, kind,
                passed, seconds, what (was seen), report (many lines)
    """
    from .extras import need_testing

    need_testing()
    from .contracting import contract as hold_to_contract

    return hold_to_contract(
        names, only, jobs=jobs, limit=time_limit, as_json=as_json, verbose=verbose
    )


@cli.command()
@_backends
@click.option(
    "--seconds",
    metavar="S",
    callback=_time_limit,
    default="30",
    show_default=True,
    help="How long to search each backend.",
)
@click.option("--seed", metavar="N", type=click.IntRange(0), help="Draw the scripts from N.")
@click.option("--replay", metavar="SCRIPT", help="Search nothing; perform this script again.")
def explore(names: tuple[str, ...], seconds: float, seed: int | None, replay: str | None) -> int:
    """Search backends for a conversation that breaks the contract.

    Two ends write, pause, half-close and reset at random, as a script says, and what they hear is
    compared with what the contract allows. The shortest script that breaks it is printed, with
    the command that performs it again. Exits with 1 if there is one.
    """
    from .extras import need_testing

    need_testing()
    from . import exploring

    if replay is not None:
        return exploring.replay(names, replay)
    return exploring.explore(names, seconds, seed)


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
