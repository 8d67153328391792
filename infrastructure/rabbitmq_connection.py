"""How does a connection to a cluster come back when the node that it led to is gone, and why does one fail?"""

import asyncio
from collections.abc import Sequence
from random import randrange
from typing import Any, Final

from aio_pika import RobustConnection
from aio_pika.connection import make_url
from aiormq.exceptions import InvalidFrameError
from yarl import URL

RECONNECT_SECONDS: Final = 1
RESTORE_SECONDS: Final = 30.0  # a busy node takes some for its quorum queues
CLOSE_SECONDS: Final = 2.0
HEARTBEAT_SECONDS: Final = 5  # aiormq notices a connection gone silent after three and a bit of them


class ClusterConnection(RobustConnection):
    """Each attempt goes to the next node, the first to any of them, so that not all clients lean on one."""

    def __init__(self, urls: Sequence[str], **kwargs: Any) -> None:
        self._urls = [make_url(url, heartbeat=HEARTBEAT_SECONDS, reconnect_interval=RECONNECT_SECONDS) for url in urls]
        self._next = 0
        super().__init__(self._urls[0], **kwargs)
        self._next = randrange(len(urls))

    @property
    def url(self) -> URL:
        """Read once by every attempt, and by nobody else."""
        url = self._urls[self._next % len(self._urls)]
        self._next += 1
        return url

    @url.setter
    def url(self, _: URL) -> None:
        """The base sets what it was made with; there are several."""

    async def _on_connected(self) -> None:
        """Everything is declared again: by a cluster that has just lost a node, now and then for ever."""
        try:
            async with asyncio.timeout(RESTORE_SECONDS):
                await super()._on_connected()
        except TimeoutError:
            await self.give_up()
            raise

    async def give_up(self) -> None:
        """A node that keeps its connection alive and answers nothing on it: the next attempt goes to another."""
        if self.transport is not None:
            await asyncio.wait([asyncio.ensure_future(self.transport.connection.close())], timeout=CLOSE_SECONDS)

    def __str__(self) -> str:
        """For aio_pika's own log, which would read `url`."""
        return ", ".join(f"{url.host}:{url.port}" for url in self._urls)


def why_not(error: BaseException) -> str:
    """Why a connection failed, in a line."""
    if isinstance(error, InvalidFrameError):  # closed in place of opened; the client drops what the broker said
        return "refused: is there such a virtual host, and may this user use it?"
    kind, text = type(error).__name__, " ".join(str(error).split())
    return f"{kind}: {text}" if text else kind
