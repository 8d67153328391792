"""Import people: check every line, then apply the last valid line of each person, in batches; a bad line stops nothing."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.ports import EventStore, Group, NewEvents, Origin, Stream
from application.readable import readable
from domain import user
from domain.errors import Invalid, Problem
from domain.timezones import local_date
from domain.user import User, UserEvent, UserRegistered
from domain.user_details import parse_details

BATCH = 1000
FARTHEST_START: Final = timedelta(days=3660)
"""A first occasion later than ten years from now is a slip of the pen."""


class Record(Struct, frozen=True):
    """One record of a file: the physical line where it starts, and its fields, or why it can't be read."""

    line: int
    fields: dict[str, Any] | Problem


class StagedPerson(Struct, frozen=True):
    """A valid line, waiting until the whole file has been read: who it is if nobody has that external ID, and what is said."""

    line: int
    user_id: UUID
    said: UserRegistered


class LastLines(Struct, frozen=True):
    """A batch of them: how many people are registered by now, and the other lines."""

    registered: int
    others: list[StagedPerson]


class Staging(Protocol):
    """Room for any number of valid lines, outside memory and never in clear."""

    def put(self, people: list[StagedPerson], *, register: bool) -> None:
        """If asked to, `last_lines` registers those of them whose external ID nobody has had."""

    def last_lines(self) -> Iterator[LastLines]:
        """The last line of each external ID, in the batches they came in."""


class Rejection(Struct, frozen=True):
    line: int
    field: str
    reason: str


class ImportReport(Struct):
    """What became of the lines. accepted: new people; changed, unchanged: known ones; superseded: a later line says it."""

    accepted: int = 0
    changed: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0


class ImportOptions(Struct, frozen=True):
    first_occasion: date | None = None  # of new people; today where each lives, if not given
    today: date | None = None  # what dates must not lie after; today where each lives, if not given
    dry_run: bool = False  # count, and change nothing
    readmit: bool = False  # let an erased person's external ID register again


def import_users(
    records: Iterable[Record],
    reject: Callable[[Rejection], None],
    options: ImportOptions,
    *,
    staging: Staging,
    store: EventStore,
    types: Collection[str],
    origin: Origin,
    now: datetime,
    new_id: Callable[[], UUID],
    progress: Callable[[Literal["read", "applied"], int], None] = lambda _stage, _count: None,
) -> ImportReport:
    """Read every record before the first is applied, so that a file that breaks off (an exception of `records`) applies nothing.

    `reject` is called once for every wrong field; `progress` with each batch of records read, then applied.
    Raises Invalid for a first occasion out of all reach.
    """
    if options.first_occasion and options.first_occasion > now.date() + FARTHEST_START:
        raise Invalid([Problem("first_occasion", "lies more than ten years ahead")])
    report = ImportReport()
    valid = 0
    for batch in _batches(records):
        people = [person for record in batch if (person := _checked(record, reject, options, types, now, new_id))]
        report.rejected += len(batch) - len(people)
        valid += len(people)
        staging.put(people, register=not options.dry_run)
        progress("read", len(batch))
    applied = 0
    for last in staging.last_lines():
        report.accepted += last.registered
        _apply(last.others, reject, options, report, store, origin, now)
        applied += last.registered + len(last.others)
        progress("applied", last.registered + len(last.others))
    report.superseded = valid - applied
    return report


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _checked(
    record: Record,
    reject: Callable[[Rejection], None],
    options: ImportOptions,
    types: Collection[str],
    now: datetime,
    new_id: Callable[[], UUID],
) -> StagedPerson | None:
    if isinstance(record.fields, Problem):
        problems = [record.fields]
    else:
        try:
            details = parse_details(record.fields, types=types, now=now, today=options.today)
            if details.external_id is not None:
                first_occasion = options.first_occasion or local_date(now, details.timezone)
                return StagedPerson(record.line, new_id(), user.registration(details, first_occasion))
            problems = [Problem("external_id", "is required: it says whom a later import means")]
        except Invalid as invalid:
            problems = invalid.problems
    for problem in problems:
        reject(Rejection(record.line, problem.field, problem.reason))
    return None


def _apply(
    people: list[StagedPerson],
    reject: Callable[[Rejection], None],
    options: ImportOptions,
    report: ImportReport,
    store: EventStore,
    origin: Origin,
    now: datetime,
) -> None:
    """Decide and append one batch; those who lost a race are decided afresh until none is left."""
    while people:
        owners = store.users_of([str(person.said.external_id) for person in people])
        if not options.readmit:
            people = _without_erased(people, owners, reject, report)
        known = [owners.get(str(person.said.external_id)) for person in people]
        ids = [owner if isinstance(owner, UUID) else person.user_id for person, owner in zip(people, known, strict=True)]
        streams = readable(store.load_users, ids)
        if unreadable := [person for person, id_ in zip(people, ids, strict=True) if id_ not in streams]:
            for person in unreadable:
                reject(Rejection(person.line, "external_id", "what is recorded of this person can't be read"))
            report.rejected += len(unreadable)
            people = [person for person in people if person not in unreadable]
            continue
        if any(stream.state and stream.state.erased for stream in streams.values()):
            continue  # since the first look: at the next their external IDs say so, too
        decided = [_decide(person, streams[id_]) for person, id_ in zip(people, ids, strict=True)]
        lost = frozenset() if options.dry_run else _append(decided, ids, streams, options.readmit, store, origin, now)
        for index, events in enumerate(decided):
            if index not in lost:
                _count(report, is_new=streams[ids[index]].state is None, is_changed=bool(events))
        people = [people[index] for index in sorted(lost)]


def _without_erased(
    people: list[StagedPerson],
    owners: dict[str, UUID | Literal["erased"]],
    reject: Callable[[Rejection], None],
    report: ImportReport,
) -> list[StagedPerson]:
    erased = [person for person in people if owners.get(str(person.said.external_id)) == "erased"]
    for person in erased:
        reject(Rejection(person.line, "external_id", "erased"))
    report.rejected += len(erased)
    return [person for person in people if owners.get(str(person.said.external_id)) != "erased"] if erased else people


def _decide(person: StagedPerson, stream: Stream[User]) -> list[UserEvent]:
    return [person.said] if stream.state is None else user.change(stream.state, user.details_of(person.said))


def _append(
    decided: list[list[UserEvent]],
    ids: list[UUID],
    streams: dict[UUID, Stream[User]],
    readmit: bool,
    store: EventStore,
    origin: Origin,
    now: datetime,
) -> frozenset[int]:
    """The indexes of those who lost."""
    news = [index for index, events in enumerate(decided) if events]
    if not news:
        return frozenset()
    groups = [
        Group((NewEvents("users", ids[index], streams[ids[index]].version, tuple(decided[index])),), readmit=readmit)
        for index in news
    ]
    return frozenset(news[lost] for lost in store.append(groups, origin, now).lost)


def _count(report: ImportReport, *, is_new: bool, is_changed: bool) -> None:
    report.accepted += is_new
    report.changed += is_changed and not is_new
    report.unchanged += not is_changed
