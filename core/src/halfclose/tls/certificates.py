"""`Certificates`: those of a server, chosen by the name that a client asks for."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence

from ..install_hints import install_command
from ..reasons import CertificateError
from ..text import one_line, printable
from .key_pairs import FilePath, KeyPair, authorities, load_pair, warn_of_readers
from .parsing import names_in
from .reloadable import ReloadableContext

__all__ = ["Certificates"]


class Certificates:
    """The certificates of a server, in files that can be read anew while it listens.

    Give `context` to `TLSOptions`, for any number of listeners. A client that asks for a name is
    shown the first certificate for it, or else for a ``*`` in the place of the name's first word. A
    client that asks for no name, or for an unknown one, is shown the first certificate of all.

    A warning is logged, once for each file, if others than its owner may use a private key.

    :param pairs: one or more certificates with their keys. Several need the library
        ``cryptography``, of the extra ``halfclose[tls]``, which reads their names.
    :param client_ca: path of a file of PEM with the authorities of clients; None: clients are not
        asked for a certificate.
    :param require_client: whether a client without a certificate is turned away. Without
        *client_ca* it means nothing.
    :param configure: is called with each new context, for example to set its versions and ciphers.
    :raises CertificateError: a file cannot be used. The message names it.
    :raises ValueError: there is no pair.
    """

    def __init__(
        self,
        *pairs: KeyPair,
        client_ca: FilePath | None = None,
        require_client: bool = True,
        configure: Callable[[ssl.SSLContext], object] | None = None,
    ) -> None:
        if not pairs:
            raise ValueError("a server needs at least one KeyPair")
        self._pairs = pairs
        self._client_ca = client_ca
        self._require_client = require_client
        self._configure = configure
        # The key files of which a warning was logged.
        self._told: set[str] = set()
        contexts = self._load()
        self._context = ReloadableContext(ssl.PROTOCOL_TLS_SERVER)
        self._set_up(self._context)
        self._context.serve(contexts)

    @property
    def context(self) -> ssl.SSLContext:
        """What `TLSOptions`, and any other library, takes as the context. It is always the same.

        Set nothing on it; that raises AttributeError. *configure* is for that.
        """
        return self._context

    def reload(self) -> None:
        """Read all files anew. New connections are shown what is in them now.

        Connections that exist go on as they are. Sessions of earlier connections are not resumed:
        the next handshake of these clients is a full one. It can be called in any thread.

        :raises CertificateError: a file cannot be used. The message names it. All certificates from
            before stay in use.
        """
        self._context.serve(self._load())

    def _load(self) -> Sequence[ssl.SSLContext]:
        """A context for each pair, of which the first chooses among them."""
        contexts = [self._made(pair) for pair in self._pairs]
        if len(contexts) > 1:
            by_name: dict[str, ssl.SSLContext] = {}
            for pair, context in zip(self._pairs, contexts, strict=True):
                for name in _names(pair):
                    by_name.setdefault(name, context)
            contexts[0].sni_callback = _chooser(by_name)
        for pair in self._pairs:
            warn_of_readers(pair, self._told)
        return contexts

    def _made(self, pair: KeyPair) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        load_pair(context, pair)
        if self._client_ca is not None:
            with authorities(self._client_ca):
                context.load_verify_locations(self._client_ca)
        self._set_up(context)
        return context

    def _set_up(self, context: ssl.SSLContext) -> None:
        if self._client_ca is not None:
            required = self._require_client
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        if self._configure is not None:
            self._configure(context)


def _names(pair: KeyPair) -> list[str]:
    """The names of a certificate.

    :raises CertificateError: they cannot be read.
    """
    path = printable(str(pair.certificate))
    try:
        with open(pair.certificate, "rb") as file:
            return [name.lower() for name in names_in(file.read())]
    except ImportError as error:
        raise CertificateError(
            "several certificates need the library cryptography, which reads their names; "
            f"install it: {install_command('halfclose[tls]')}"
        ) from error
    except (OSError, ValueError) as error:
        raise CertificateError(
            f"the names in the certificate {path} cannot be read: {one_line(error)}"
        ) from error


def _chooser(
    by_name: dict[str, ssl.SSLContext],
) -> Callable[[ssl.SSLObject | ssl.SSLSocket, str | None, ssl.SSLContext], None]:
    """What `ssl` calls with the name for which a client asks."""

    def choose(
        connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, first: ssl.SSLContext
    ) -> None:
        if name is None:
            return
        name = name.lower().removesuffix(".")
        found = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
        if found is not None and found is not first:
            connection.context = found

    return choose
