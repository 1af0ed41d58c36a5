"""A Twisted application of two services: one behind an endpoint, and one that has a backend."""

from typing import Any

import halfclose
from halfclose.examples import Sum, Upper
from halfclose_twisted import as_factory
from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application, Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger


class Sums(Service):
    """Opens a backend when it is started, and leaves it in order when it is stopped."""

    log = Logger()

    def startService(self) -> None:
        super().startService()
        self._stop: Deferred[None] = Deferred()
        self._work = Deferred.fromCoroutine(self._run())
        self._work.addErrback(self._failed)

    async def _run(self) -> None:
        async with halfclose.open_backend() as backend:
            listener = await backend.listen("unix:sum.sock", Sum)
            self.log.info("sums on {endpoint}", endpoint=listener.endpoint)
            await self._stop

    def _failed(self, failure: Any) -> None:
        self.log.failure("the service has ended", failure)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._stop.callback(None)
        return self._work


application = Application("services")
endpoint = serverFromString(reactor, "unix:upper.sock")
StreamServerEndpointService(endpoint, as_factory(Upper)).setServiceParent(application)
Sums().setServiceParent(application)
