"""How are at most so many calls open at once, however many dispatches ask for them?"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

Call = Callable[[], Awaitable[None]]


class BoundedCalls:
    """Calls are begun in the order asked for. The tasks that make them live only as long as there is something to call."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[Call, _Batch]] = deque()
        self._lines: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.Task[None]] = set()
        self._interrupted = False

    async def make(self, calls: Sequence[Call]) -> None:
        """Returns when each of these calls has been made. Raises what one of them raised."""
        if not calls:
            return
        batch = _Batch(len(calls))
        self._waiting.extend((call, batch) for call in calls)
        for _ in range(min(self._limit - len(self._lines), len(calls))):
            line = asyncio.create_task(self._serve())
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)
        await batch.made

    def interrupt(self) -> None:
        """Throw CancelledError into every open call: whatever it makes of it, it has been made. Those that wait are begun."""
        self._interrupted = True
        for line in self._open:
            line.cancel()

    async def _serve(self) -> None:
        line = asyncio.current_task()
        assert line is not None
        while self._waiting:
            call, batch = self._waiting.popleft()
            self._open.add(line)
            try:
                await call()
            except asyncio.CancelledError:
                if not self._interrupted:
                    batch.given_up()
                    raise
                batch.one_made()
            except Exception as error:  # noqa: BLE001  (it belongs to whoever asked for the call)
                batch.failed(error)
            else:
                batch.one_made()
            finally:
                self._open.discard(line)
        # At once, not when the loop comes round to it: whoever asks next must not count on a line that has ended.
        self._lines.discard(line)


class _Batch:
    def __init__(self, calls: int) -> None:
        self.made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = calls

    def one_made(self) -> None:
        self._left -= 1
        if not self._left and not self.made.done():
            self.made.set_result(None)

    def given_up(self) -> None:
        self.made.cancel()

    def failed(self, error: Exception) -> None:
        if not self.made.done():
            self.made.set_exception(error)
