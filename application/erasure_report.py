"""Erasure report: is anything of an erased person left anywhere, place by place?"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct

Told = Callable[[str, int, int], None]
"""What is being looked through, how much of it was, and how much there is."""

ELSEWHERE: Final = (
    "What was sent is at its providers (the sink's file among them), and with whoever received it: ask those to erase it, too.",
    "Backups made before the erasure hold the key for as long as they are kept.",
)
NAMELESS: Final = "The hash names no ID any more: to have everything looked at, ask with the ID that the person had."
KEPT_BESIDE: Final = "What a rebuild left beside the live tables is not fed: ninebell projections drop NAME, or with --build."


class Looked(Struct, frozen=True):
    """One place, and what was found there that should be gone."""

    place: str
    what: str  # was looked for, and what else is there
    found: int
    beside: bool = False  # it is of tables that stand beside those that are read


class Traces(Protocol):
    """Every place where something of a person may be."""

    def of_user(self, user_id: UUID, told: Told) -> Iterator[Looked]:
        """Raises UserUnknown."""


class ErasureReport(Struct, frozen=True, kw_only=True):
    """`clean`: everything was looked at, and nothing found."""

    user: str
    clean: bool
    looked: Sequence[Looked]
    notes: Sequence[str] = ELSEWHERE


def erasure_report(user_id: UUID, traces: Traces, told: Told) -> ErasureReport:
    """Raises UserUnknown."""
    return report(str(user_id), list(traces.of_user(user_id, told)))


def report(user: str, looked: Sequence[Looked]) -> ErasureReport:
    beside = [KEPT_BESIDE] if any(one.found and one.beside for one in looked) else []
    return ErasureReport(user=user, clean=not any(one.found for one in looked), looked=looked, notes=(*beside, *ELSEWHERE))


def report_by_hash(looked: Looked) -> ErasureReport:
    """Of whom an external ID tells no more than that they were erased."""
    return ErasureReport(user="(by external_id)", clean=False, looked=[looked], notes=(NAMELESS, *ELSEWHERE))
