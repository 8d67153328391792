"""How many workers are wanted, by what waits for one now and what falls due soon?"""

import math
from datetime import timedelta
from typing import Final, Literal

from msgspec import Struct

MESSAGES_A_WORKER: Final = 1_000
UP_ABOVE: Final = 1_000
DOWN_BELOW: Final = 100
LOOK_AHEAD: Final = timedelta(seconds=30)
"""Longer than a worker takes to start."""
CALM_SECONDS: Final = 30.0
"""As long as the look ahead, so that herds up to a minute apart find all workers still there."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
HEALTHY_SECONDS: Final = 60.0


class Bounds(Struct, frozen=True):
    """At least and at most so many workers."""

    least: int
    most: int

    @property
    def enough(self) -> int:
        """More messages than these want no more workers."""
        return self.most * MESSAGES_A_WORKER


class Backlog(Struct, frozen=True):
    """Messages that no worker has claimed: due now, and falling due within LOOK_AHEAD."""

    waiting: int
    coming: int


class Scale(Struct, frozen=True):
    """So many workers are wanted; `why` says what has just changed that."""

    workers: int
    calm_since: float | None = None  # monotonic seconds
    why: Literal["", "backlog", "herd_ahead", "calm"] = ""


def rescale(scale: Scale, backlog: Backlog, bounds: Bounds, monotonic: float) -> Scale:
    """Up at once: a worker for each MESSAGES_A_WORKER. Down to half, but only after CALM_SECONDS below DOWN_BELOW."""
    messages = backlog.waiting + backlog.coming
    if messages > UP_ABOVE:
        workers = min(bounds.most, math.ceil(messages / MESSAGES_A_WORKER))
        if workers > scale.workers:
            return Scale(workers, why="backlog" if backlog.waiting > UP_ABOVE else "herd_ahead")
    if messages >= DOWN_BELOW:
        return Scale(scale.workers)
    calm_since = monotonic if scale.calm_since is None else scale.calm_since
    if monotonic - calm_since < CALM_SECONDS or scale.workers <= bounds.least:
        return Scale(scale.workers, calm_since)
    return Scale(max(bounds.least, math.ceil(scale.workers / 2)), monotonic, "calm")


def pause_after(lived_seconds: float, pause_before: float | None) -> float:
    """How long to wait before a worker that ended by itself is started again: doubling, until one lived for a while."""
    if pause_before is None or lived_seconds >= HEALTHY_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(2 * pause_before, LONGEST_PAUSE_SECONDS)
