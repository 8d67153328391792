"""What becomes of an import's lines about people who are erased meanwhile?"""

from collections.abc import Iterator, Sequence
from typing import Literal
from uuid import UUID

import pytest

from application.import_users import ImportOptions, ImportReport, LastLines, Record, Rejection, StagedPerson, import_users
from domain.user import UserErased
from tests.fake_event_store import FakeEventStore
from tests.store_stage import CLI, NOW, of_user, registered

ADA, BEA, ANOTHER = UUID(int=1), UUID(int=2), UUID(int=3)


class ErasedMeanwhile(FakeEventStore):
    """Right after it has been told whose external IDs these are, somebody erases Ada."""

    def users_of(self, external_ids: Sequence[str]) -> dict[str, UUID | Literal["erased"]]:
        owners = super().users_of(external_ids)
        self.append([of_user(ADA, 1, UserErased())], CLI, NOW)
        return owners


class Waiting:
    """Room for lines about known people."""

    def __init__(self) -> None:
        self._batches: list[list[StagedPerson]] = []

    def put(self, people: list[StagedPerson], *, register: bool) -> None:
        self._batches.append(people)

    def last_lines(self) -> Iterator[LastLines]:
        return (LastLines(0, batch) for batch in self._batches)


@pytest.mark.parametrize(
    ("readmit", "told", "rejected"),
    [
        (False, ImportReport(changed=1, rejected=1), [Rejection(2, "external_id", "erased")]),
        (True, ImportReport(changed=1, accepted=1), []),
    ],
)
def test_whoever_is_erased_while_their_line_is_applied_counts_as_erased(
    *, readmit: bool, told: ImportReport, rejected: list[Rejection]
) -> None:
    store = ErasedMeanwhile()
    store.append([of_user(ADA, 0, registered("ada")), of_user(BEA, 0, registered("bea"))], CLI, NOW)
    lines = [
        Record(line, {"external_id": name, "first_name": "Cem", "email": "c@example.org", "timezone": "Asia/Tokyo"})
        for line, name in enumerate(("ada", "bea"), start=2)
    ]
    rejections: list[Rejection] = []
    report = import_users(
        lines,
        rejections.append,
        ImportOptions(readmit=readmit),
        staging=Waiting(),
        store=store,
        types={"BIRTHDAY"},
        origin=CLI,
        now=NOW,
        new_id=lambda: ANOTHER,
    )
    assert (report, rejections) == (told, rejected)
    assert store.users_of(["ada", "bea"]) == {"ada": ANOTHER if readmit else "erased", "bea": BEA}
