"""The exporter: answers each scrape with what the server says of the queues at that moment."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

from loguru import logger
from prometheus_client import CollectorRegistry

from runtime.errors import PoolError
from runtime.metrics import catalogue
from runtime.metrics.catalogue import Family
from runtime.metrics.families import value_of
from runtime.metrics.fleet import Fleet, FleetView, families
from runtime.producer_session import Session, open_session

_BOUND: Final = 8.0
"""Seconds for one look; Prometheus gives a scrape 10 s."""

_EXCHANGE: Final = 4.0
"""Seconds for one exchange with the server."""


class Exporter:
    """The collector of the queues' figures; made on the event loop that asks the server.

    A server that is out of reach is a figure like others: it is said at each scrape, and asked
    again at the next.

    Args:
        url: a REDIS_URL.
        queues: queues to look at, beside the contract's and those that workers serve.
    """

    def __init__(self, url: str, queues: Sequence[str]) -> None:
        self._url = url
        self._fleet = Fleet(queues)
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._session: Session | None = None
        self._failing = False
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def __repr__(self) -> str:
        return f"Exporter({self._fleet!r}, failing={self._failing})"

    def describe(self) -> Iterable[Family]:
        """Return nothing: what there is to show is known at a scrape."""
        return ()

    def collect(self) -> Iterable[Family]:
        """Look, and return what there is to show; called from the endpoint's threads."""
        began = time.monotonic()
        views = self._looked()
        yield value_of(catalogue.UP, views is not None)
        yield value_of(catalogue.LOOK, time.monotonic() - began)
        yield from families(views or ())

    def _looked(self) -> list[FleetView] | None:
        answer = asyncio.run_coroutine_threadsafe(self._look(), self._loop)
        return answer.result(_BOUND + _EXCHANGE)

    async def _look(self) -> list[FleetView] | None:
        try:
            async with asyncio.timeout(_BOUND), self._turn:
                if self._session is None:
                    self._session = await open_session(self._url, _EXCHANGE, lambda: 0.5)
                views = await self._fleet.look(self._session)
        except (PoolError, TimeoutError) as error:
            if not self._failing:
                why = str(error) or f"The server hasn't told all within {_BOUND:.0f} s"
                logger.warning("The queues can't be read: {}", why)
            self._failing = True
            return None
        if self._failing:
            logger.info("The queues can be read again")
        self._failing = False
        return views

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.aclose()
