"""What is sent in a burst on another system, by the client that suits it."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

import msgspec

OPEN_AT_ONCE: Final = 64
"""Calls that a worker has open, as Ninebell's has."""

Letter = dict[str, str]
"""As Ninebell writes it to the provider."""


def letters(number: int) -> Iterator[Letter]:
    for index in range(number):
        yield {
            "email": f"person{index}@example.org",
            "message": f"Hey, Given{index} Family{index} it's your birthday",
            "subject": "Happy birthday!",
            "message_id": str(UUID(int=index, version=4)),
            "type": "BIRTHDAY",
        }


class Async:
    """aiohttp, with connections that are kept."""

    def __init__(self) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=OPEN_AT_ONCE))

    async def post(self, url: str, letter: Letter) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": letter["message_id"]}
        async with self._session.post(url, data=msgspec.json.encode(letter), headers=headers) as response:
            await response.read()
            response.raise_for_status()


class Blocking:
    """urllib3, with connections that are kept."""

    def __init__(self) -> None:
        import urllib3

        self._pool = urllib3.PoolManager(maxsize=OPEN_AT_ONCE)

    def post(self, url: str, letter: Letter) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": letter["message_id"]}
        answer = self._pool.request("POST", url, body=msgspec.json.encode(letter), headers=headers)
        if answer.status != 200:
            raise RuntimeError(f"the provider answered {answer.status}")
