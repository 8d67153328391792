"""How many workers are wanted when a burst comes, goes, or is about to come?"""

import pytest

from application.scale_workers import (
    CALM_SECONDS,
    FIRST_PAUSE_SECONDS,
    HEALTHY_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Backlog,
    Bounds,
    Scale,
    pause_after,
    rescale,
)

BOUNDS = Bounds(2, 20)
NOTHING = Backlog(0, 0)


@pytest.mark.parametrize(
    ("waiting", "coming", "workers", "why"),
    [
        pytest.param(0, 0, 2, "", id="nothing"),
        pytest.param(1_000, 0, 2, "", id="a-thousand-is-not-more-than-a-thousand"),
        pytest.param(1_500, 0, 2, "", id="two-are-there"),
        pytest.param(2_001, 0, 3, "backlog", id="one-for-each-thousand-begun"),
        pytest.param(200_000, 0, 20, "backlog", id="no-more-than-the-most"),
        pytest.param(0, 5_000, 5, "herd_ahead", id="ahead-of-a-herd"),
        pytest.param(900, 4_000, 5, "herd_ahead", id="what-waits-and-what-comes"),
        pytest.param(4_000, 3_000, 7, "backlog", id="a-herd-behind-another"),
    ],
)
def test_workers_are_wanted_for_what_waits_and_what_comes(waiting, coming, workers, why):
    found = rescale(Scale(2), Backlog(waiting, coming), BOUNDS, 0)
    assert (found.workers, found.why) == (workers, why)


def test_one_worker_is_joined_by_another_above_a_thousand():
    assert rescale(Scale(1), Backlog(1_001, 0), Bounds(1, 4), 0).workers == 2


def test_while_a_backlog_drains_nobody_leaves():
    scale = rescale(Scale(2), Backlog(9_500, 0), BOUNDS, 0)
    for second, waiting in enumerate((7_000, 3_000, 1_500, 500, 100), start=1):
        scale = rescale(scale, Backlog(waiting, 0), BOUNDS, second * CALM_SECONDS)
        assert scale.workers == 10


def test_after_each_calm_half_of_them_leave_down_to_the_least():
    scale = rescale(Scale(20), Backlog(99, 0), BOUNDS, 0)
    after = {}
    for second in range(1, int(6 * CALM_SECONDS)):
        before, scale = scale, rescale(scale, Backlog(0, 99), BOUNDS, second)
        if scale.workers != before.workers:
            after[second] = (scale.workers, scale.why)
    calm = int(CALM_SECONDS)
    assert after == {calm: (10, "calm"), 2 * calm: (5, "calm"), 3 * calm: (3, "calm"), 4 * calm: (2, "calm")}


def test_a_calm_that_is_broken_begins_anew():
    scale = rescale(Scale(8), NOTHING, BOUNDS, 0)
    scale = rescale(scale, Backlog(100, 0), BOUNDS, CALM_SECONDS - 1)
    scale = rescale(scale, NOTHING, BOUNDS, CALM_SECONDS)
    assert scale.workers == 8
    scale = rescale(scale, NOTHING, BOUNDS, 2 * CALM_SECONDS - 1)
    assert scale.workers == 8
    assert rescale(scale, NOTHING, BOUNDS, 2 * CALM_SECONDS).workers == 4


def test_herds_a_minute_apart_let_no_worker_go():
    """Each is seen half a minute ahead and is gone ten seconds after its minute."""
    scale, changes = Scale(2), 0
    for second in range(600):
        of_the_minute = second % 60
        herd = Backlog(0, 6_000) if of_the_minute >= 30 else Backlog(6_000, 0) if of_the_minute < 10 else NOTHING
        before, scale = scale, rescale(scale, herd, BOUNDS, second)
        changes += scale.workers != before.workers
    assert (scale.workers, changes) == (6, 1)


def test_a_worker_that_keeps_failing_is_started_ever_later():
    pauses = [pause_after(0.5, None)]
    while pauses[-1] < LONGEST_PAUSE_SECONDS:
        pauses.append(pause_after(0.5, pauses[-1]))
    assert pauses[:4] == [FIRST_PAUSE_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert pause_after(0.5, pauses[-1]) == LONGEST_PAUSE_SECONDS


def test_a_worker_that_was_healthy_for_a_while_is_started_soon_again():
    assert pause_after(HEALTHY_SECONDS, LONGEST_PAUSE_SECONDS) == FIRST_PAUSE_SECONDS
