"""Does a sink that runs by itself play its part as badly as it was told on the command line?"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import Site, asked

if TYPE_CHECKING:
    from pathlib import Path

CALLS = 6
CUT = 0
DICE = random.Random(7)


def called(site: Site) -> int:
    """The status of the answer to one message."""
    try:
        return asked(site.sink_port, "POST", "/send", b'{"message_id":"m1","email":"ada@example.org"}', {}).status
    except ConnectionError:
        return CUT


def answers(site: Site) -> bool:
    try:
        return site.stats()["calls"] == 0
    except OSError:
        return False


@pytest.mark.parametrize(
    ("options", "statuses"),
    [
        (("--error-rate", "1"), [500] * CALLS),
        (("--throttle-rate", "1"), [429] * CALLS),
        (("--cut-rate", "1"), [CUT] * CALLS),
        (("--error-rate", "0.5", "--seed", "7"), [500 if DICE.random() < 0.5 else 200 for _ in range(CALLS)]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_sink_answers_as_it_was_told_to(data_dir: Path, options: tuple[str, ...], statuses: list[int]) -> None:
    with Site(data_dir) as site:
        sink = site.start("run", "sink", *options).says("running: sink")
        sink.until("an answer", lambda: answers(site))
        assert [called(site) for _ in range(CALLS)] == statuses
