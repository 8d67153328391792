"""Does everybody who calls a provider know the same of it: its breaker, its throttling, and what is left of its limit?"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import Struct

from application.channel_states import UNTROUBLED, ChannelState, SharedChannels
from application.provider_limit import ProviderLimit, Usage, messages_left
from infrastructure.channel_states import PostgresChannels
from infrastructure.database import Database
from tests.fake_channels import MemoryChannels

TEN_AN_HOUR = ProviderLimit(most=10, per_seconds=3_600)
TOLERANCE = 0.5  # seconds that a test may take between two statements


class Place(Struct):
    channels: SharedChannels
    later: Callable[[float], None]


@pytest.fixture
def pool(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test") as pool:
        yield pool


@pytest.fixture(params=["fake", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "fake":
        memory = MemoryChannels()

        def pass_by(seconds: float) -> None:
            memory.seconds += seconds

        return Place(memory, pass_by)
    pool: Database = request.getfixturevalue("pool")

    def make_older(seconds: float) -> None:
        with pool.connect() as connection:
            connection.execute(
                "UPDATE channel_states SET open_until = open_until - %(by)s * interval '1 second',"
                " hold_until = hold_until - %(by)s * interval '1 second',"
                " lowered_at = lowered_at - %(by)s * interval '1 second'",
                {"by": seconds},
            )

    return Place(PostgresChannels(pool), make_older)


def is_about(found: ChannelState, expected: ChannelState) -> bool:
    seconds = abs(found.open_seconds - expected.open_seconds) + abs(found.hold_seconds - expected.hold_seconds)
    return found.breaker == expected.breaker and seconds < TOLERANCE and abs(found.share - expected.share) < TOLERANCE / 60


def test_a_channel_that_nobody_called_is_untroubled(place: Place) -> None:
    assert place.channels.state("sink") == UNTROUBLED
    assert place.channels.states() == {}
    place.channels.take("sink", TEN_AN_HOUR, [1])
    assert place.channels.states() == {"sink": UNTROUBLED}


def test_an_open_breaker_lets_a_trial_through_after_half_a_minute_and_closes_when_it_went_well(place: Place) -> None:
    assert is_about(place.channels.trip("sink"), ChannelState("open", 30.0))
    place.later(20)
    assert is_about(place.channels.close("sink"), ChannelState("open", 10.0)), "nobody was to call"
    assert is_about(place.channels.trip("sink"), ChannelState("open", 10.0)), "what it knows already opens it no longer"
    place.later(10.6)
    assert place.channels.state("sink").breaker == "half_open"
    assert is_about(place.channels.trip("sink"), ChannelState("open", 30.0))
    place.later(31)
    assert place.channels.close("sink") == UNTROUBLED
    assert place.channels.states() == {"sink": UNTROUBLED}


def test_channels_do_not_answer_for_each_other(place: Place) -> None:
    place.channels.trip("sink")
    assert place.channels.state("post") == UNTROUBLED
    assert place.channels.states().keys() == {"sink"}


def test_a_throttled_channel_is_left_alone_as_long_as_it_says_and_then_asked_for_less(place: Place) -> None:
    assert is_about(place.channels.throttled("sink", 20), ChannelState(hold_seconds=20, share=0.5))
    assert is_about(place.channels.throttled("sink", 5), ChannelState(hold_seconds=20, share=0.5)), "the same throttling"
    place.later(30)
    assert is_about(place.channels.state("sink"), ChannelState(share=1.0)), "creeping up again"
    assert is_about(place.channels.throttled("sink", 3_600), ChannelState(hold_seconds=60, share=0.5)), "a minute at the most"


def test_one_that_does_not_say_how_long_is_left_alone_the_longer_the_oftener_it_throttles(place: Place) -> None:
    assert is_about(place.channels.throttled("sink", None), ChannelState(hold_seconds=2, share=0.5))
    place.later(3)
    assert is_about(place.channels.throttled("sink", None), ChannelState(hold_seconds=1 / 0.275, share=0.275))


def test_a_clock_that_is_put_back_shuts_no_channel_for_as_long(place: Place) -> None:
    place.channels.throttled("sink", 20)
    place.channels.trip("sink")
    place.later(-7_200)
    assert is_about(place.channels.state("sink"), ChannelState("half_open"))
    assert is_about(place.channels.throttled("sink", 20), ChannelState("half_open", hold_seconds=20, share=0.5))
    assert is_about(place.channels.trip("sink"), ChannelState("open", 30.0, hold_seconds=20, share=0.5))
    place.later(-7_200)
    assert is_about(place.channels.close("sink"), UNTROUBLED)


def test_half_of_a_throttled_limit_is_granted(place: Place) -> None:
    place.channels.throttled("sink", 0)
    assert len(place.channels.take("sink", TEN_AN_HOUR, [1] * 20).delays) == 5


def test_what_one_took_another_does_not_get(place: Place) -> None:
    assert len(place.channels.take("sink", TEN_AN_HOUR, [1] * 7).delays) == 7
    assert len(place.channels.take("sink", TEN_AN_HOUR, [1] * 7).delays) == 3
    refused = place.channels.take("sink", TEN_AN_HOUR, [1])
    assert refused.delays == ()
    assert 3_590 < refused.wait_seconds < 3_610
    assert len(place.channels.take("post", TEN_AN_HOUR, [1] * 7).delays) == 7


def test_what_is_used_up_is_known_without_taking_anything(place: Place) -> None:
    place.channels.take("sink", TEN_AN_HOUR, [1] * 7)
    for _ in range(2):
        used = place.channels.used(["sink"])["sink"]
        assert messages_left(used.usage, TEN_AN_HOUR, 1, used.at, used.share) == 3
    place.channels.throttled("sink", 0)
    assert abs(place.channels.used(["sink"])["sink"].share - 0.5) < TOLERANCE / 60
    assert place.channels.used(["post"])["post"].usage == Usage()


def test_however_many_ask_at_once_no_more_is_granted_than_there_is(pool: Database) -> None:
    channels = PostgresChannels(pool)
    with ThreadPoolExecutor(8) as threads:
        grants = list(threads.map(lambda _: channels.take("sink", TEN_AN_HOUR, [1, 1]), range(40)))
    assert sum(len(grant.delays) for grant in grants) == 10
