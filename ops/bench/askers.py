"""How long do so many questions a second wait for the API, asked in time whether it is quick or not, and which fail?"""

from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from itertools import count
from threading import Event, Thread
from time import monotonic
from typing import Final, NamedTuple, Self

from ops.bench.deliveries import HOST

ASKERS: Final = 5
TIMEOUT_SECONDS: Final = 30.0
OK: Final = 200
QUESTIONS: Final = (
    "/v1/messages?limit=100",
    "/v1/messages?status=abandoned&limit=100",
    "/v1/users?limit=100",
    "/v1/dashboard/summary",
    "/v1/dashboard/timezones",
    "/v1/dashboard/throughput",
    "/v1/dashboard/failures",
)


class Answer(NamedTuple):
    """When it was to be asked, by the monotonic clock; how long it took from then, seconds."""

    at: float
    seconds: float
    failed: bool


class Askers:
    """Ask from entering to leaving. `answers` is what they got."""

    def __init__(self, port: int, key: str, a_second: float) -> None:
        self._port, self._key, self._every = port, key, ASKERS / a_second
        self._stop = Event()
        self._threads = [Thread(target=self._ask, args=(number,), name=f"asker {number}") for number in range(ASKERS)]
        self.answers: list[Answer] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def between(self, began: float, ended: float) -> Sequence[Answer]:
        """Those to questions of that time."""
        return [answer for answer in self.answers if began <= answer.at < ended]

    def _ask(self, number: int) -> None:
        connection = HTTPConnection(HOST, self._port, timeout=TIMEOUT_SECONDS)
        began = monotonic() + self._every * number / ASKERS
        for turn in count():
            at = began + turn * self._every
            if self._stop.wait(max(0.0, at - monotonic())):
                break
            failed = not self._answered(connection, QUESTIONS[(turn + number) % len(QUESTIONS)])
            self.answers.append(Answer(at, monotonic() - at, failed))
        connection.close()

    def _answered(self, connection: HTTPConnection, question: str) -> bool:
        try:
            connection.request("GET", question, headers={"Authorization": f"Bearer {self._key}"})
            response = connection.getresponse()
            response.read()
        except (HTTPException, OSError):
            connection.close()  # the next one begins afresh
            return False
        return response.status == OK
