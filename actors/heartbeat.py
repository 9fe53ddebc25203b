"""Says now and then that the worker lives, and what it does."""

from collections.abc import Callable

import anyio
from loguru import logger

from actors.broker import BrokerError, Session
from actors.settings import WorkerSettings
from messages import Heartbeat, encode_heartbeat


class HeartbeatSender:
    """Stores the worker's heartbeat at its interval, and soon after a failure to do so.

    Args:
        session: the broker's side.
        settings: the interval and the expiry.
        compose: makes the heartbeat of this moment.
    """

    def __init__(
        self, session: Session, settings: WorkerSettings, compose: Callable[[], Heartbeat]
    ) -> None:
        self._session = session
        self._settings = settings
        self._compose = compose

    async def run(self) -> None:
        """Beat for ever."""
        settings = self._settings
        while True:
            interval = settings.heartbeat_interval
            try:
                body = encode_heartbeat(self._compose())
                await self._session.beat(body, settings.heartbeat_expires)
            except BrokerError as error:
                logger.debug("The heartbeat wasn't stored: {}", error)
                interval = min(1.0, interval)
            await anyio.sleep(interval)
