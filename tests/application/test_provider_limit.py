"""Does a provider never see more than it takes, in any window of its own, and is what it takes made use of?"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.provider_limit import (
    LONGEST_WAIT_SECONDS,
    Grant,
    ProviderLimit,
    Usage,
    messages_left,
    slack_seconds,
    stopped_until,
    take,
)

NOW = datetime(2027, 5, 15, 8, tzinfo=UTC)
HUNDRED_A_MINUTE = ProviderLimit(most=100, per_seconds=60)
TEN_AN_HOUR = ProviderLimit(most=10, per_seconds=3_600)
LIMITS = [
    HUNDRED_A_MINUTE,
    ProviderLimit(most=5, per_seconds=1),
    ProviderLimit(most=40, per_seconds=20, burst=7),
    ProviderLimit(unit="messages", most=30, per_seconds=10),
]


def asked(usage: Usage, limit: ProviderLimit, calls: list[int], seconds: float, share: float = 1.0) -> tuple[Usage, Grant]:
    return take(usage, limit, calls, NOW + timedelta(seconds=seconds), share)


@given(
    limit=st.sampled_from(LIMITS),
    asking=st.lists(
        st.tuples(st.floats(0, 15), st.lists(st.integers(1, 8), min_size=1, max_size=60), st.floats(0, 1), st.floats(0, 1)),
        min_size=1,
        max_size=25,
    ),
)
def test_no_window_of_the_providers_holds_more_than_the_limit(
    limit: ProviderLimit, asking: list[tuple[float, list[int], float, float]]
) -> None:
    """Whenever in its time a grant is used, and however long a call is on its way."""
    usage, at, slack = Usage(), 0.0, slack_seconds(limit)
    arrived: list[tuple[float, int]] = []
    for pause, calls, used_after, on_its_way in asking:
        at += pause
        usage, grant = asked(usage, limit, calls, at)
        assert grant.delays or grant.wait_seconds > 0
        arrived += [
            (at + delay + used_after * slack + on_its_way * slack, limit.weight(calls[place]))
            for place, delay in enumerate(grant.delays)
        ]
    for most, seconds in limit.windows:
        for start, _ in arrived:
            inside = sum(units for instant, units in arrived if start <= instant < start + seconds)
            assert inside <= most


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_at_least_four_fifths_of_a_limit_are_used_by_who_always_asks(limit: ProviderLimit) -> None:
    usage, at, granted = Usage(), 0.0, 0
    span = 50 * limit.per_seconds
    while at < span:
        usage, grant = asked(usage, limit, [1] * 10, at)
        granted += len(grant.delays)
        at += grant.wait_seconds or 0.01
    assert granted >= 0.8 * (limit.most or 0) * span / limit.per_seconds


def test_who_waits_as_long_as_told_gets_something() -> None:
    usage, _ = asked(Usage(), HUNDRED_A_MINUTE, [1] * 100, 0)
    usage, refused = asked(usage, HUNDRED_A_MINUTE, [1], 10)
    assert refused == Grant((), 1.0, 52.0)
    _, granted = asked(usage, HUNDRED_A_MINUTE, [1], 10 + refused.wait_seconds)
    assert granted.delays == (0.0,)


def test_calls_are_granted_in_their_order_and_none_overtakes_a_larger_one() -> None:
    limit = ProviderLimit(unit="messages", most=10, per_seconds=60)
    usage, grant = asked(Usage(), limit, [4, 4, 4, 1], 0)
    assert len(grant.delays) == 2
    assert len(asked(usage, limit, [1, 1, 1], 0)[1].delays) == 2


def test_calls_begin_apart_from_each_other_whoever_makes_them() -> None:
    limit = ProviderLimit(most=100, per_seconds=60, spacing_seconds=0.4)
    usage, first = asked(Usage(), limit, [1] * 5, 0)
    assert first.delays == pytest.approx((0.0, 0.4, 0.8))  # no grant is made for later than it could be used
    usage, second = asked(usage, limit, [1], 0)
    assert not second.delays
    assert second.wait_seconds == pytest.approx(1.2)
    assert asked(usage, limit, [1], 0.5)[1].delays == pytest.approx((0.7,))


def test_a_quota_of_the_day_is_whole_again_at_midnight() -> None:
    limit = ProviderLimit(daily_quota=10)
    usage, grant = asked(Usage(), limit, [6, 6], 0)
    assert len(grant.delays) == 1
    usage, refused = asked(usage, limit, [6], 3600)
    assert refused.wait_seconds == 15 * 3600
    assert len(asked(usage, limit, [6], 16 * 3600)[1].delays) == 1


def test_what_was_taken_before_the_clock_was_put_back_counts_as_taken_now() -> None:
    limit = ProviderLimit(most=3, per_seconds=60, spacing_seconds=0.5)
    usage, at, begun = Usage(), 7_200.0, []
    while at < 7_260:
        usage, grant = asked(usage, limit, [1], at)
        begun += [at + delay for delay in grant.delays]
        at += grant.wait_seconds or 0.1
    assert len(begun) == 3
    usage, refused = asked(usage, limit, [1], 0)
    assert refused.delays == ()
    assert refused.wait_seconds < 65
    _, grant = asked(usage, limit, [1], 65)
    assert len(grant.delays) == 1


def test_a_share_of_the_limit_is_never_less_than_one_call() -> None:
    assert len(asked(Usage(), HUNDRED_A_MINUTE, [1] * 100, 0, share=0.25)[1].delays) == 25
    assert len(asked(Usage(), ProviderLimit(most=3, per_seconds=60), [1, 1], 0, share=0.1)[1].delays) == 1


def test_what_is_kept_does_not_grow_with_the_calls() -> None:
    usage = Usage()
    for number in range(10_000):
        usage, _ = asked(usage, ProviderLimit(most=1_000_000, per_seconds=60), [1], number / 100)
    assert len(usage.windows["60"]) < 150


@pytest.mark.parametrize(
    ("limit", "bulk", "messages"),
    [
        (ProviderLimit(daily_quota=10), 1, None),
        (HUNDRED_A_MINUTE, 1, 50),
        (HUNDRED_A_MINUTE, 10, 500),
        (ProviderLimit(unit="messages", most=100, per_seconds=60), 10, 50),
        (ProviderLimit(most=5, per_seconds=1), 1, 5),
        (ProviderLimit(most=1_000, per_seconds=86_400), 1, 10),
        (ProviderLimit(spacing_seconds=60), 7, 7),
    ],
    ids=["only-a-quota", "calls", "bulk-calls", "recipients", "a-second", "a-day", "spacing"],
)
def test_no_more_is_handed_out_than_leaves_soon(limit: ProviderLimit, bulk: int, messages: int | None) -> None:
    assert limit.messages_ahead(bulk) == messages


LONG = [
    TEN_AN_HOUR,
    ProviderLimit(unit="messages", most=25, per_seconds=90),
    ProviderLimit(most=8, per_seconds=60, daily_quota=30),
    ProviderLimit(daily_quota=12),
]


@given(
    limit=st.sampled_from(LONG),
    asking=st.lists(st.tuples(st.floats(0, 900), st.lists(st.integers(1, 4), min_size=1, max_size=9)), max_size=25),
    share=st.sampled_from([1.0, 0.3]),
    start=st.sampled_from([0, 15.9 * 3_600]),
)
def test_as_many_messages_are_left_as_get_a_turn_before_a_worker_gives_up(
    limit: ProviderLimit, asking: list[tuple[float, list[int]]], share: float, start: float
) -> None:
    usage, at = Usage(), start
    for pause, calls in asking:
        at += pause
        usage, _ = asked(usage, limit, calls, at)
    left = messages_left(usage, limit, 1, NOW + timedelta(seconds=at), share)
    _, grant = asked(usage, limit, [1] * (left + 1), at + LONGEST_WAIT_SECONDS, share)
    assert len(grant.delays) == left


@pytest.mark.parametrize(("bulk", "left"), [(1, 8), (100, 800)])
def test_calls_that_are_left_may_be_full(bulk: int, left: int) -> None:
    usage, _ = asked(Usage(), TEN_AN_HOUR, [100, 1], 0)
    assert messages_left(usage, TEN_AN_HOUR, bulk, NOW) == left


@pytest.mark.parametrize(
    ("limit", "stops"),
    [
        (ProviderLimit(daily_quota=1_000), True),
        (TEN_AN_HOUR, True),
        (ProviderLimit(spacing_seconds=60), True),
        (ProviderLimit(most=100, per_seconds=30, burst=5, spacing_seconds=0.02), False),
    ],
    ids=["quota", "hour", "spacing", "half-a-minute"],
)
def test_only_a_limit_that_may_stop_for_longer_than_a_worker_waits_has_to_be_looked_at(limit: ProviderLimit, stops: bool) -> None:
    assert limit.may_stop is stops


def test_until_when_a_limit_stops_is_told_only_where_nobody_waits_for_it() -> None:
    usage, _ = asked(Usage(), TEN_AN_HOUR, [1] * 10, 0)
    assert stopped_until(usage, TEN_AN_HOUR, NOW) == NOW + timedelta(seconds=3_602)
    assert stopped_until(usage, TEN_AN_HOUR, NOW + timedelta(seconds=3_550)) is None
    usage, _ = asked(Usage(), ProviderLimit(daily_quota=3), [3], 0)
    assert stopped_until(usage, ProviderLimit(daily_quota=3), NOW) == NOW + timedelta(hours=16)


def test_a_spacing_longer_than_a_worker_waits_leaves_nothing_meanwhile() -> None:
    spaced = ProviderLimit(spacing_seconds=60)
    usage, _ = asked(Usage(), spaced, [1], 0)
    usage, _ = asked(usage, spaced, [1], 59.5)  # for half a second later
    assert [messages_left(usage, spaced, 1, NOW + timedelta(seconds=at)) > 0 for at in (59.5, 60.5)] == [False, True]
