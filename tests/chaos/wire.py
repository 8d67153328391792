"""How is a wire (tests/cuttable.py) laid beside code that blocks? On an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from threading import Thread
from typing import Self

from tests.cuttable import Wire, wire_to


class LaidWire:
    """From entering to the end of the block."""

    def __init__(self, to_url: str) -> None:
        self._to_url = to_url
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="wire")
        self._held = AsyncExitStack()
        self._wire: Wire

    def __enter__(self) -> Self:
        self._thread.start()
        self._wire = asyncio.run_coroutine_threadsafe(self._held.enter_async_context(wire_to(self._to_url)), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._held.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The server's, by way of this wire."""
        return self._wire.url

    def strand(self) -> None:
        """See Wire."""
        self._loop.call_soon_threadsafe(self._wire.strand)
