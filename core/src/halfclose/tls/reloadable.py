"""`ReloadableContext`: an `ssl.SSLContext` that makes each connection with another one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["ReloadableContext"]


class ReloadableContext(ssl.SSLContext):
    """Stands for the contexts that were given to `serve` last.

    So a program can replace certificates while it listens: whoever holds this one makes each new
    connection with the new ones. Each of them has tickets of its own, so no session is resumed
    whose client would not be let in any more.

    What is set on this context itself would have no effect on the connections. So nothing can be
    set, except the protocols of ALPN, and ``options``, which hold for each new connection.
    """

    _contexts: Sequence[ssl.SSLContext] = ()
    _alpn: Sequence[str] = ()

    def serve(self, contexts: Sequence[ssl.SSLContext]) -> None:
        """Make new connections by *contexts* from now on. Those that exist are not touched.

        :param contexts: the first makes the connections, and passes them to the others.
        """
        with _changing:
            if self._alpn:
                for each in contexts:
                    each.set_alpn_protocols(self._alpn)
            object.__setattr__(self, "_contexts", contexts)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        first = self._contexts[0]
        first.options = self.options
        return first.wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        first = self._contexts[0]
        first.options = self.options
        return first.wrap_socket(*args, **options)

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        protocols = tuple(alpn_protocols)
        with _changing:
            if protocols != self._alpn:
                object.__setattr__(self, "_alpn", protocols)
                for each in self._contexts:
                    each.set_alpn_protocols(protocols)

    def __setattr__(self, name: str, value: object) -> None:
        if self._contexts and name != "options":
            raise AttributeError(f"{name} {_ELSEWHERE}")
        super().__setattr__(name, value)

    def set_ciphers(self, cipherlist: str, /) -> None:
        self._before_serving("the list of ciphers")
        super().set_ciphers(cipherlist)

    def load_cert_chain(self, *args: Any, **options: Any) -> None:
        self._before_serving("a certificate")
        super().load_cert_chain(*args, **options)

    def load_verify_locations(self, *args: Any, **options: Any) -> None:
        self._before_serving("an authority")
        super().load_verify_locations(*args, **options)

    def _before_serving(self, what: str) -> None:
        if self._contexts:
            raise AttributeError(f"{what} {_ELSEWHERE}")


_ELSEWHERE = "cannot be set on this context; set it in Certificates(configure=...)"

_changing = threading.Lock()
"""Held while the contexts or the protocols are replaced: another thread may read the files anew."""
