"""How is a system told what to do: `python -m ops.bench.peers.SYSTEM prepare|schedule|work …`?"""

import signal
import sys
from collections.abc import Callable
from datetime import datetime
from time import monotonic

from msgspec import Struct


class Told(Struct, frozen=True):
    """Where everything is, what to send and when."""

    verb: str  # prepare: make tables; schedule: put everything in; work: send what is due, until told to end
    database: str
    broker: str
    provider: str
    messages: int
    due_at: datetime


def told() -> Told:
    verb, database, broker, provider, messages, due_at = sys.argv[1:]
    return Told(verb, database, broker, provider, int(messages), datetime.fromisoformat(due_at))


def timed(schedule: Callable[[], None]) -> None:
    """Schedule, and say how long it took."""
    began = monotonic()
    schedule()
    print(f"scheduled in {monotonic() - began:.3f} s", flush=True)


def at_work() -> None:
    """To be said when whatever is due will be taken."""
    print("running: worker", flush=True)


def until_told_to_end() -> None:
    """For workers that live in threads."""
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
