"""The command line: its commands, their options, and the exit status."""

from __future__ import annotations

import io
import logging
import math
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..backend import GRACE
from ..discovery import available_backends, select_backend
from ..endpoints import Endpoint
from ..options import LINGER_TIMEOUT, UNIX_MODE, ConnectionOptions
from ..reasons import HalfcloseError
from ..scheme_registry import known_schemes, parse_endpoint, scheme_of
from ..text import listed, one_line
from .report import (
    FAILED,
    USAGE,
    Problem,
    discard_output,
    fall_silent,
    log_to_stderr,
    reported,
    say,
    status_of,
)
from .stopping import Stopped

if TYPE_CHECKING:
    from .relaying import Manner

__all__ = ["run_command"]

_LEVELS = ("debug", "info", "warning", "error")
_A_DAY = 86400.0


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Parse an option's value as a number of seconds, 0 or more. click calls this."""
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise click.BadParameter(f"{value!r} is no number of seconds, 0 or more")
    return number


def _time_limit(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Parse an option's value as a number of seconds, more than 0. click calls this."""
    if value is None:
        return None
    number = _seconds(ctx, param, value)
    if not number or number > _A_DAY:
        raise click.BadParameter(
            f"{value!r} is no number of seconds, more than 0 and at most {_A_DAY:.0f}"
        )
    return number


def _whole(least: int, most: int) -> Callable[..., int | None]:
    """Make a callback for click that parses a whole number from *least* to *most*."""

    def parse(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
        if value is None:
            return None
        if not re.fullmatch("[0-9]{1,20}", value) or not least <= int(value) <= most:
            raise click.BadParameter(f"{value!r} is no whole number from {least} to {most}")
        return int(value)

    return parse


def _octal(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Parse an option's value as the permission bits of a file, in octal. click calls this."""
    if value is None:
        return None
    digits = value.removeprefix("0o")
    if not (digits.isascii() and digits.isdigit()) or not set(digits) <= set("01234567"):
        mode = -1
    else:
        mode = int(digits, 8)
    if not 0 <= mode <= 0o777:
        raise click.BadParameter(f"{value!r} is no mode in octal from 0 to 777, such as 660")
    return mode


def _list(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[str]:
    """Join the values of a repeated option, each a list with commas. click calls this."""
    found = [item.strip() for items in value for item in items.split(",")]
    if not all(found):
        raise click.BadParameter("there is nothing before or after a comma")
    return found


def _names(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Make sure that at least one backend is named. click calls this."""
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
_unix_mode = click.option(
    "--unix-mode",
    metavar="OCTAL",
    callback=_octal,
    help="Permissions of the unix socket, such as 660. [default: 600]",
)


@contextmanager
def _as_filters() -> Iterator[None]:
    """Die by SIGPIPE without a message, as every filter does, if nobody reads the output."""
    try:
        yield
    except BrokenPipeError:
        discard_output()
        raise Stopped(signal.SIGPIPE) from None


class _Group(click.Group):
    """Dies by SIGPIPE if nobody reads the output, where click and rich would exit with 1."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _as_filters():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _as_filters():
            return super().invoke(ctx)


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="halfclose", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Serve and use half-closeable protocols, on any event loop.

    ENDPOINT is tcp:HOST:PORT (tcp:[::1]:80; tcp:*:80 listens on every address), unix:PATH
    (unix:@NAME is abstract), or stdio:. Plugins bring others. S is a number of seconds, such as
    0.5. If --backend names no backend, HALFCLOSE_BACKEND does, or else one that is installed is
    used.

    The status is 0 if all went well, 1 if something went wrong, and 2 if the arguments are wrong.
    A command that a signal ends dies by the signal.
    """
    if ctx.invoked_subcommand is None:
        raise click.UsageError(f"no command; there are: {', '.join(sorted(cli.commands))}", ctx)


@cli.command(short_help="Serve a protocol on ENDPOINT, or attach it to stdio:.")
@click.argument("protocol", metavar="MODULE:NAME")
@click.argument("endpoint", metavar="ENDPOINT")
@_backend
@_unix_mode
@click.option(
    "--half-close-timeout",
    metavar="S",
    callback=_seconds,
    help="Give up a half-closed connection after S seconds without a byte. [default: never]",
)
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
    "--grace",
    metavar="S",
    callback=_seconds,
    default=str(GRACE),
    help="After the first signal, wait S seconds for connections to end, and abort the rest.",
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
    unix_mode: int | None,
    half_close_timeout: float | None,
    close_timeout: float | None,
    linger: float,
    grace: float,
    log_level: str,
) -> int:
    """Serve a protocol on ENDPOINT, or attach it to stdio:.

    MODULE is a file (./my_echo.py) or a module that can be imported, also from the current
    directory. NAME is a class that derives from halfclose.Protocol, or a function without
    arguments that makes a protocol. Try halfclose.examples:Echo.

    The bound endpoint is printed on stderr; with port 0 the system chooses the port. The first
    SIGINT or SIGTERM closes every connection gracefully, a second one aborts them. After one
    SIGTERM, which asks a server to end, the status is 0. After SIGINT or a second signal the
    command dies by the signal, so that ^C also ends a shell's loop around it. On stdio: the
    command ends with the connection, and dies by any signal that ended it. The status is 1 if it
    cannot listen on ENDPOINT, or the connection of stdio: was lost.
    """
    from .loading import load_protocol
    from .serving import serve

    log_to_stderr(log_level.upper())
    where = _reachable(endpoint, backend)
    options = ConnectionOptions(
        linger_timeout=linger,
        close_timeout=close_timeout,
        half_close_timeout=half_close_timeout,
        unix_mode=_mode_for(where, unix_mode),
    )
    return serve(load_protocol(protocol), where, backend, options, grace)


def _talking(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that connect and listen have in common."""
    for option in reversed(
        (
            _backend,
            click.option(
                "--idle-timeout",
                metavar="S",
                callback=_time_limit,
                help="End after S seconds without a byte either way: with status 0, or with 1 if "
                "bytes still wait that nobody takes. [default: never]",
            ),
            click.option(
                "--half-close-timeout",
                metavar="S",
                callback=_seconds,
                help="After one half has ended, S seconds without a byte count as a loss: status "
                "1. [default: never]",
            ),
            click.option(
                "--exit-on-close",
                is_flag=True,
                help="End when the peer has ended its half, even if standard input has not ended.",
            ),
            click.option(
                "-v", "--verbose", is_flag=True, help="Tell on stderr who ended what, and when."
            ),
        )
    ):
        command = option(command)
    return command


def _manner(
    half_close_timeout: float | None,
    idle_timeout: float | None,
    exit_on_close: bool,
    verbose: bool,
    unix_mode: int = UNIX_MODE,
) -> Manner:
    """The `Manner` of a conversation, from the values of the options."""
    from .relaying import Manner

    if idle_timeout is None:
        options = ConnectionOptions(half_close_timeout=half_close_timeout, unix_mode=unix_mode)
    else:
        # The conversation may end because the peer sends nothing more. Then nobody waits for the
        # peer's end of stream.
        options = ConnectionOptions(
            half_close_timeout=half_close_timeout,
            unix_mode=unix_mode,
            close_timeout=idle_timeout,
            linger_timeout=0,
        )
    return Manner(options, idle_timeout, exit_on_close, verbose)


@cli.command(short_help="Connect to ENDPOINT, with standard input and output.")
@click.argument("endpoint", metavar="ENDPOINT")
@click.option(
    "--timeout",
    metavar="S",
    callback=_seconds,
    default="30",
    show_default=True,
    help="Give up if connecting takes longer than S seconds, the name lookup included.",
)
@_talking
def connect(
    endpoint: str,
    backend: str | None,
    timeout: float,
    half_close_timeout: float | None,
    idle_timeout: float | None,
    exit_on_close: bool,
    verbose: bool,
) -> int:
    """Carry standard input to ENDPOINT, and what comes from there to standard output.

    The end of standard input becomes a half-close, and the peer's half-close ends standard output.
    The command ends when both have ended. The status is 0, or 1 if the connection was refused or
    lost, or the peer sent something that nobody reads. If a signal ends the command, the peer sees
    a reset, and the command dies by the signal.
    """
    from .relaying import relay

    where = _other_end("connect", endpoint, backend)
    with reported(f"cannot connect to {where}"):
        why = scheme_of(where).cannot_connect(where)
    if why is not None:
        raise Problem(f"cannot connect to {where}: {why}", USAGE)
    manner = _manner(half_close_timeout, idle_timeout, exit_on_close, verbose)
    return relay(where, backend, timeout, manner)


@cli.command(short_help="Wait on ENDPOINT for one connection, and do as connect does.")
@click.argument("endpoint", metavar="ENDPOINT")
@click.option(
    "--timeout",
    metavar="S",
    callback=_time_limit,
    help="Wait at most S seconds for the connection. [default: for ever]",
)
@_unix_mode
@_talking
def listen(
    endpoint: str,
    backend: str | None,
    timeout: float | None,
    unix_mode: int | None,
    half_close_timeout: float | None,
    idle_timeout: float | None,
    exit_on_close: bool,
    verbose: bool,
) -> int:
    """Wait on ENDPOINT for one connection, and carry standard input and output over it.

    The bound endpoint is printed on stderr; with port 0 the system chooses the port. Only the first
    connection is accepted. From then on the command does as connect: it carries half-closes both
    ways, and ends when both halves have ended. The status is 0, or 1 if the connection was lost,
    none came in time, or the peer sent something that nobody reads. If a signal ends the command,
    the peer sees a reset, and the command dies by the signal.
    """
    from .relaying import accept_one

    where = _other_end("listen", endpoint, backend)
    with reported(f"cannot listen on {where}"):
        why = scheme_of(where).cannot_listen(where)
    if why is not None:
        raise Problem(f"cannot listen on {where}: {why}", USAGE)
    mode = _mode_for(where, unix_mode)
    manner = _manner(half_close_timeout, idle_timeout, exit_on_close, verbose, mode)
    return accept_one(where, backend, timeout, manner)


def _reachable(endpoint: str, backend: str | None) -> Endpoint:
    """Parse the name of an endpoint that another process can reach.

    :raises EndpointError: it is no endpoint.
    :raises Problem: the endpoint or the backend exists only inside of one process.
    """
    where = parse_endpoint(endpoint)
    if scheme_of(where).within_process:
        outside = [f"{each.name}:" for each in known_schemes() if not each.within_process]
        raise Problem(
            f"{where} is inside of one process; name an endpoint of {listed(outside)}", USAGE
        )
    if select_backend(backend, running=False) == "memory":
        raise Problem(
            "the backend 'memory' is for tests inside of one process; name another", USAGE
        )
    return where


def _other_end(command: str, endpoint: str, backend: str | None) -> Endpoint:
    """Parse the endpoint to which *command* carries stdio, and set up the log.

    :raises EndpointError: it is no endpoint.
    :raises Problem: it is stdio itself, or cannot be reached; see `_reachable`.
    """
    where = _reachable(endpoint, backend)
    if scheme_of(where).standard_io:
        raise Problem(f"{command} carries stdio: to another endpoint, not to itself", USAGE)
    log_to_stderr(logging.ERROR)
    return where


def _mode_for(where: Endpoint, mode: int | None) -> int:
    """The permission bits to give a unix socket at *where*; None: the default.

    :raises Problem: *mode* was given, and the endpoint can have none.
    """
    if mode is None:
        return UNIX_MODE
    with reported(f"--unix-mode is not for {where}"):
        why = scheme_of(where).cannot_have_mode(where)
    if why is not None:
        raise Problem(f"--unix-mode is not for {where}: {why}", USAGE)
    return mode


@cli.command(short_help="List every backend, and whether it loads.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list of objects.")
def backends(as_json: bool) -> int:
    """List every backend and variant: where it comes from, whether it loads, and why not.

    The status is 0, whether they load or not.

    \b
    --json prints a list of objects:
      name, distribution, version, entry_point
      loads     whether it can be used
      error     why not, or null
    """
    from .listing import list_backends

    return list_backends(as_json=as_json)


@cli.command(short_help="Hold one conversation on every variant, side by side.")
def demo() -> int:
    """Hold one conversation, half-closes and all, on every variant, side by side.

    Exits with 1 if they do not agree.
    """
    from .demo import demo as hold

    return hold()


@cli.command(short_help="Hold backends to the contract: every rule, on every channel.")
@_backends
@click.option(
    "--only",
    metavar="RULE",
    multiple=True,
    callback=_list,
    help="Only this rule, such as EVT-05, or chapter, such as EVT. Repeatable; commas separate.",
)
@click.option(
    "--hosts", is_flag=True, help="Also in loops that a program starts itself, as by asyncio.run."
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object; see above.")
@click.option("-v", "--verbose", is_flag=True, help="Show the whole report of every failure.")
@click.option(
    "--jobs",
    metavar="N",
    callback=_whole(1, 1000),
    help="Judge N cases at once. [default: one for each processor]",
)
@click.option(
    "--time-limit",
    metavar="S",
    callback=_time_limit,
    default="60",
    show_default=True,
    help="A case that takes longer than S seconds is killed, and has failed.",
)
def contract(
    names: tuple[str, ...],
    only: list[str],
    hosts: bool,
    as_json: bool,
    verbose: bool,
    jobs: int | None,
    time_limit: float,
) -> int:
    """Hold backends to the contract: every rule, on every type of channel.

    NAME is a backend or variant, such as anyio+trio; see 'halfclose backends'. A case is one rule
    on one type of channel. Each case runs in a process of its own, where halfclose.run starts the
    loop; with --hosts, the rules run on TCP also in loops that are started in each other way that
    the backend names. For each broken rule it prints what was seen, what the rule says, and where
    to look. Exits with 1 if a rule is broken or a backend does not load.

    \b
    --json prints one object:
      kept      whether every backend loads and keeps every rule
      complete  whether every case was judged; false after ^C
      seconds   how long it took
      backends  objects in the order asked: name, loads, error (or null),
                channel_types (names), cases and broken (numbers)
      rules     objects by id: statement, where (to look)
      verdicts  objects by backend, rule and channel type: rule, backend,
                channel_type, host (which started the loop), passed, seconds,
                what (was seen), report (many lines)
    """
    from .extras import need_testing

    need_testing()
    from .contracting import contract as hold_to_contract

    return hold_to_contract(
        names, only, hosts=hosts, jobs=jobs, limit=time_limit, as_json=as_json, verbose=verbose
    )


@cli.command(short_help="Search backends for what breaks the contract.")
@_backends
@click.option(
    "--seconds",
    metavar="S",
    callback=_time_limit,
    default="30",
    show_default=True,
    help="Search each backend for S seconds.",
)
@click.option(
    "--seed", metavar="N", callback=_whole(0, (1 << 64) - 1), help="Draw the scripts from N."
)
@click.option("--replay", metavar="SCRIPT", help="Search nothing; perform this script again.")
def explore(names: tuple[str, ...], seconds: float, seed: int | None, replay: str | None) -> int:
    """Search backends for a conversation that breaks the contract.

    Two ends write, pause, half-close and reset as a random script says, and the events at each end
    are compared with what the contract allows. The shortest script that breaks the contract is
    printed, with the command that performs it again. Exits with 1 if there is one.
    """
    from .extras import need_testing

    need_testing()
    from . import exploring

    if replay is not None:
        return exploring.replay(names, replay)
    return exploring.explore(names, seconds, seed)


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status.

    Errors that are expected become one line on stderr.

    :param arguments: the words after the program's name; by default those of ``sys.argv``.
    :raises Stopped: a signal ended the command, or nobody reads its output (SIGPIPE).
    :raises KeyboardInterrupt: code of the program raised it, and no signal.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A plugin's name or error may have characters that the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(
            None if arguments is None else list(arguments),
            prog_name="halfclose",
            standalone_mode=False,
        )
        if sys.stdout is not None:
            with _as_filters():
                sys.stdout.flush()
        return status or 0
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        say(f"halfclose: {_explained(error)}")
        return error.exit_code
    except (Problem, HalfcloseError) as error:
        say(f"halfclose: {one_line(error)}")
        return status_of(error)
    except OSError as error:
        say(f"halfclose: {one_line(error)}")
        discard_output()
        return FAILED
    finally:
        fall_silent()


def _explained(error: click.ClickException) -> str:
    """The message of *error* in one line, with a hint at ``--help`` if the usage was wrong."""
    text = one_line(error.format_message()).rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text += f" (see '{error.ctx.command_path} --help')"
    return text
