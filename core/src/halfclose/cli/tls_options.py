"""The options of TLS that ``run``, ``listen`` and ``connect`` take, and what they mean."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import click

from ..endpoints import Endpoint
from ..scheme_registry import scheme_of
from ..text import listed
from ..tls_options import TLSOptions
from .passphrases import Passphrases
from .preambles import PREAMBLES
from .report import USAGE, Problem, say
from .starttls import StartTLS

if TYPE_CHECKING:
    import ssl

    from ..tls import Certificates, KeyPair

__all__ = ["ClientFlags", "CommandWithTLS", "ServerFlags", "client_flags", "server_flags"]


class CommandWithTLS(click.Command):
    """A command whose help lists the options of TLS apart from the others."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {"Options": [], "Options of TLS": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                rows["Options of TLS" if isinstance(param, _Flag) else "Options"].append(record)
        for heading, records in rows.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class _Flag(click.Option):
    """An option of TLS."""


def _alpn(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Check names of protocols. click calls this."""
    for name in value:
        if not name.isascii() or not 0 < len(name) < 256:
            raise click.BadParameter(f"{name!r} is no name of 1 to 255 characters of ASCII")
    return value


_flag = functools.partial(click.option, cls=_Flag)

_BOTH = (
    _flag(
        "--key",
        metavar="FILE",
        multiple=True,
        help="The private key of the --cert with the same place in the order. [default: the key "
        "in the file of the certificate]",
    ),
    _flag(
        "--passphrase-file",
        metavar="FILE",
        help="The first line of FILE decrypts the keys. [default: it is asked for, if there is a "
        "terminal]",
    ),
    _flag(
        "--alpn",
        metavar="NAME",
        multiple=True,
        callback=_alpn,
        help="A protocol to agree on, such as h2; the best first. Repeatable.",
    ),
    _flag(
        "--truncation",
        type=click.Choice(("error", "eof")),
        help="What an end of the connection without close_notify, the end of its TLS, is: a loss, "
        "or the peer's end of stream. [default: error]",
    ),
)

_SERVER = (
    _flag(
        "--cert",
        metavar="FILE",
        multiple=True,
        help="The server's certificate, and those between it and the authority, in PEM. "
        "Repeatable: each client gets the one that has the name it asks for, else the first.",
    ),
    *_BOTH,
    _flag(
        "--client-ca",
        metavar="FILE",
        help="Demand of each client a certificate of one of the authorities in FILE.",
    ),
)

_CLIENT = (
    _flag(
        "--ca",
        metavar="FILE",
        help="Trust the authorities in FILE. [default: the system's]",
    ),
    _flag(
        "--server-name",
        metavar="NAME",
        help="Ask for NAME, and check the certificate for it. [default: the host of ENDPOINT]",
    ),
    _flag(
        "--insecure",
        is_flag=True,
        help="Check no certificate: whoever is between can read and change everything.",
    ),
    _flag(
        "--starttls",
        metavar="PROTOCOL",
        type=click.Choice(tuple(PREAMBLES)),
        help=f"Connect without TLS, and ask for TLS as PROTOCOL does: {listed(PREAMBLES)}.",
    ),
    _flag(
        "--cert",
        metavar="FILE",
        multiple=True,
        help="The client's certificate, and those between it and the authority, in PEM.",
    ),
    *_BOTH,
)


@dataclass(frozen=True)
class _Flags:
    """What both sides of TLS are told by their options."""

    cert: tuple[str, ...]
    key: tuple[str, ...]
    passphrase_file: str | None
    alpn: tuple[str, ...]
    truncation: Literal["error", "eof"] | None

    def refuse_all(self, why: str) -> None:
        """Refuse each option that was given.

        :raises Problem: there is one.
        """
        for field in fields(self):
            if getattr(self, field.name):
                raise Problem(f"--{field.name.replace('_', '-')} is not for {why}", USAGE)

    def key_pairs(self, passphrases: Passphrases) -> list[KeyPair]:
        """The certificates and their keys.

        :raises Problem: they do not belong together.
        """
        if self.key and len(self.key) != len(self.cert):
            raise Problem(
                f"{len(self.cert)} --cert and {len(self.key)} --key; each certificate needs its "
                "key, in the same order",
                USAGE,
            )
        if self.passphrase_file is not None and not self.cert:
            raise Problem("--passphrase-file is for the key of a --cert", USAGE)
        from ..tls import KeyPair

        keys = self.key or (None,) * len(self.cert)
        return [
            KeyPair(cert, key, passphrases.of(key or cert))
            for cert, key in zip(self.cert, keys, strict=True)
        ]

    def options_with(self, context: ssl.SSLContext, name: str | None = None) -> TLSOptions:
        """The options of each connection.

        :param name: the name of the server, for a client.
        """
        return TLSOptions(context, name, self.alpn, truncation=self.truncation or "error")


def _given(flags: type[_Flags], options: tuple[Any, ...]) -> Callable[..., Callable[..., int]]:
    """A decorator that adds *options* to a command, which gets them as one argument ``tls``."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def collected(**values: Any) -> int:
            own = {field.name: values.pop(field.name) for field in fields(flags)}
            return command(tls=flags(**own), **values)

        for option in reversed(options):
            collected = option(collected)
        return collected

    return decorate


@dataclass(frozen=True)
class ServerFlags(_Flags):
    """The options of TLS of a server."""

    client_ca: str | None

    def certificates(self, where: Endpoint) -> Certificates | None:
        """Load what a server at *where* shows and demands; None: no TLS is spoken there.

        :raises Problem: an option is missing or does not fit.
        :raises CertificateError: a file cannot be used.
        """
        if not scheme_of(where).secure:
            self.refuse_all(f"{where}, where no TLS is spoken")
            return None
        if not self.cert:
            raise Problem(f"a server at {where} needs a certificate: --cert FILE", USAGE)
        from ..tls import Certificates

        passphrases = Passphrases(self.passphrase_file)
        pairs = self.key_pairs(passphrases)
        certificates = Certificates(*pairs, client_ca=self.client_ca)
        passphrases.ask_no_more()
        return certificates

    def options(self, certificates: Certificates | None) -> TLSOptions | None:
        """The options of each connection, given what `certificates` has given."""
        return None if certificates is None else self.options_with(certificates.context)


@dataclass(frozen=True)
class ClientFlags(_Flags):
    """The options of TLS of a client."""

    ca: str | None
    server_name: str | None
    insecure: bool
    starttls: str | None

    def begin(self, where: Endpoint) -> TLSOptions | StartTLS | None:
        """How TLS is begun with a server at *where*: at once, after a preamble, or never.

        :raises Problem: an option is missing or does not fit.
        :raises CertificateError: a file cannot be used.
        """
        secure = scheme_of(where).secure
        if self.starttls is None:
            if not secure:
                self.refuse_all(f"{where}, where no TLS is spoken without --starttls")
                return None
        elif secure:
            raise Problem(
                f"--starttls is not for {where}, where TLS is spoken from the beginning", USAGE
            )
        if self.ca is not None and self.insecure:
            raise Problem("--ca and --insecure exclude each other", USAGE)
        if len(self.cert) > 1:
            raise Problem("a client has one --cert", USAGE)
        name = self.server_name or getattr(where, "host", None)
        if not name and not self.insecure:
            raise Problem(
                f"{where} has no host name for which the certificate could be checked: "
                "--server-name NAME",
                USAGE,
            )
        from ..tls import client_context

        certificate = next(iter(self.key_pairs(Passphrases(self.passphrase_file))), None)
        context = client_context(self.ca, certificate, self.insecure)
        options = self.options_with(context, name)
        if self.insecure:
            say(
                f"halfclose: WARNING: --insecure: nobody knows who answers at {where}; whoever is "
                "between can read and change everything"
            )
        return options if self.starttls is None else StartTLS(PREAMBLES[self.starttls], options)


server_flags = _given(ServerFlags, _SERVER)
"""Adds the options of TLS to a command that serves."""

client_flags = _given(ClientFlags, _CLIENT)
"""Adds the options of TLS to a command that connects."""
