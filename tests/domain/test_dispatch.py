"""Claim and withdrawal meet on one stream: does exactly one win?"""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain import dispatch
from domain.dispatch import (
    MOST_MEMBERS,
    DispatchFinished,
    DispatchMemberWithdrawn,
    DispatchRequested,
    DispatchStarted,
    requested_at,
)
from domain.errors import AlreadyClaimed, BeingSent, DispatchUnknown
from tests.given import given

ONE, TWO, STRANGER = UUID(int=1), UUID(int=2), UUID(int=3)
REQUESTED = DispatchRequested("sink", "europe", (ONE, TWO))
STARTED = DispatchStarted("worker-1", UUID(int=11), UUID(int=12))
CLAIM = ("worker-1", UUID(int=11), UUID(int=12))
WITHDRAWN = DispatchMemberWithdrawn(ONE)


def test_a_batch_is_offered_to_the_workers() -> None:
    assert dispatch.request("sink", "europe", (ONE, TWO)) == [REQUESTED]


@pytest.mark.parametrize("members", [0, MOST_MEMBERS + 1])
def test_a_batch_is_never_empty_nor_too_large(members: int) -> None:
    with pytest.raises(ValueError, match="members"):
        dispatch.request("sink", "europe", tuple(UUID(int=number) for number in range(members)))


def test_the_first_claim_wins() -> None:
    given(dispatch.evolve, REQUESTED).when(dispatch.start, *CLAIM).then(STARTED)
    given(dispatch.evolve, REQUESTED, STARTED).when(dispatch.start, "worker-2", UUID(int=21), UUID(int=22)).then_refused(
        AlreadyClaimed
    )


def test_the_claim_names_its_worker() -> None:
    claimed = given(dispatch.evolve, REQUESTED, STARTED).state
    assert (claimed.status, claimed.worker, claimed.incarnation, claimed.claim_token) == ("started", *CLAIM)


def test_a_member_is_taken_back_before_the_claim() -> None:
    assert given(dispatch.evolve, REQUESTED).when(dispatch.withdraw, ONE).state().members == (TWO,)


def test_the_last_member_to_go_finishes_the_dispatch() -> None:
    given(dispatch.evolve, REQUESTED, WITHDRAWN).when(dispatch.withdraw, TWO).then(
        DispatchMemberWithdrawn(TWO), DispatchFinished("withdrawn")
    )


@pytest.mark.parametrize(
    ("history", "member"),
    [((STARTED,), ONE), ((STARTED, DispatchFinished("recorded")), ONE), ((WITHDRAWN,), ONE), ((), STRANGER)],
    ids=["claimed", "finished", "withdrawn before", "not a member"],
)
def test_what_is_being_sent_is_not_taken_back(history: tuple, member: UUID) -> None:
    given(dispatch.evolve, REQUESTED, *history).when(dispatch.withdraw, member).then_refused(BeingSent)


def test_a_withdrawn_dispatch_is_not_claimed() -> None:
    gone = (WITHDRAWN, DispatchMemberWithdrawn(TWO), DispatchFinished("withdrawn"))
    given(dispatch.evolve, REQUESTED, *gone).when(dispatch.start, *CLAIM).then_refused(AlreadyClaimed)


def test_finishing_twice_is_not_news() -> None:
    given(dispatch.evolve, REQUESTED, STARTED).when(dispatch.finish, "recorded").then(DispatchFinished("recorded"))
    given(dispatch.evolve, REQUESTED, STARTED, DispatchFinished("recorded")).when(dispatch.finish, "worker_dead").then()


@pytest.mark.parametrize(
    ("decide", "arguments"),
    [(dispatch.withdraw, (ONE,)), (dispatch.start, CLAIM), (dispatch.finish, ("recorded",))],
    ids=["withdraw", "start", "finish"],
)
def test_a_dispatch_nobody_requested_is_unknown(decide: object, arguments: tuple) -> None:
    given(dispatch.evolve).when(decide, *arguments).then_refused(DispatchUnknown)  # type: ignore[arg-type]


def test_facts_without_a_request_still_load() -> None:
    assert given(dispatch.evolve, WITHDRAWN, STARTED, DispatchFinished("recorded")).state is None


def test_its_id_tells_when_a_dispatch_was_requested() -> None:
    """The example of RFC 9562, A.6."""
    assert requested_at(UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    assert requested_at(UUID(int=1)) is None
