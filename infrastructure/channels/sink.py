"""How does the built-in sink stand in for a provider?"""

from typing import Final

from infrastructure.channels.http import HttpChannel

NAME: Final = "sink"


class SinkChannel(HttpChannel):
    """The HTTP channel, pointed at the sink, which tells repeats apart and so can play a provider of either kind."""

    def __init__(self, url: str, *, idempotent: bool, bulk: int, concurrency: int, call_timeout_seconds: float) -> None:
        super().__init__(
            NAME, url, idempotent=idempotent, bulk=bulk, concurrency=concurrency, call_timeout_seconds=call_timeout_seconds
        )
