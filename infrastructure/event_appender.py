"""Which groups of events still stand on the versions they were decided on, and how are those written?"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg import Cursor, sql

from application.ports import LOGS, Appended, Group, Log, NewEvents, Origin, Position, origin_of
from domain.user import UserErased, UserRegistered
from infrastructure.database import Row
from infrastructure.event_log import ROWS_A_STATEMENT, TABLES, NewRow, append_to_two, bounds
from infrastructure.event_mapper import EventMapper, needs_key
from infrastructure.keyring import DataKey, KeyGone, Keyring

VERSIONS: Final = {
    log: sql.SQL(
        "SELECT originator_id, max(originator_version) FROM {}"
        " WHERE originator_id = ANY(%b) AND originator_id BETWEEN %b AND %b GROUP BY originator_id"
    )
    .format(sql.Identifier(log))
    .as_bytes(None)
    for log in LOGS
}
STORED: Final = {
    log: sql.SQL(
        "SELECT originator_id, originator_version, topic, state, notification_id FROM {}"
        " JOIN unnest(%b::uuid[], %b::bigint[]) AS mine (id, version) ON id = originator_id AND version = originator_version"
        " WHERE originator_id BETWEEN %b AND %b"
    )
    .format(sql.Identifier(log))
    .as_bytes(None)
    for log in LOGS
}

TWO_LOGS: Final[frozenset[Log]] = frozenset({"messages", "dispatches"})

Positions = dict[Log, int]
Written = dict[Log, list[int]]
"""The positions of the rows, in their order."""


class Registration(Struct, frozen=True):
    """What a new user needs beside the event: a key, and a claim on the external ID."""

    user_id: UUID
    wrapped: bytes
    external_id_hash: bytes | None


class EncodedGroup(Struct, gc=False):
    """A group as it will be written, the same bytes at every try, so that a late acknowledgement is told from a conflict."""

    checks: list[tuple[Log, UUID, int, int]] = []  # log, stream, version, number of events
    rows: list[tuple[Log, NewRow]] = []
    registrations: list[Registration] = []
    erased: list[UUID] = []
    readmits: bool = False  # may take the external ID of somebody erased
    keyless: list[UUID] = []  # users without a key whose personal data was to be sealed: surely erased meanwhile


class EventAppending:
    """Encodes groups, and writes them on a cursor whose transaction holds the locks of their logs."""

    def __init__(self, mapper: EventMapper, keyring: Keyring) -> None:
        self._mapper = mapper
        self._keyring = keyring

    def sealed_users(self, groups: Sequence[Group]) -> set[UUID]:
        """The users whose keys `encode` needs."""
        return {
            new.stream_id
            for group in groups
            for new in group.appends
            if new.log == "users" and new.version and any(needs_key(type(event)) for event in new.events)
        }

    def encode(self, groups: Sequence[Group], origin: Origin, now: datetime, keys: dict[UUID, DataKey]) -> list[EncodedGroup]:
        """Needs no database; `keys` are those of `sealed_users`."""
        return [self._encode(group, group.origin or origin, now, keys) for group in groups]

    def encode_registration(self, user_id: UUID, event: UserRegistered, origin: Origin) -> tuple[bytes, bytes]:
        """A new key, wrapped, and the bytes of the event: what `encode` makes of somebody new, but for the external ID's hash."""
        key, wrapped = self._keyring.new_key(user_id)
        return wrapped, self._mapper.encode(event, origin_of(NewEvents("users", user_id, 0, (event,)), origin), key)[1]

    def write_at_once(self, cursor: Cursor[Row], groups: Sequence[EncodedGroup]) -> Written | None:
        """What goes `at_once`, in one statement that takes the locks as well.

        None if a group does not stand: then nothing is written.
        """
        rows: dict[Log, list[NewRow]] = {}
        for group in groups:
            for log, row in group.rows:
                rows.setdefault(log, []).append(row)
        return _append(cursor, rows)

    def write(self, cursor: Cursor[Row], groups: Sequence[EncodedGroup]) -> list[Positions | None]:
        """Per group the last position in each of its logs, None for a loser.

        Raises KeyGone for a user whose stream stands but whose key does not.
        """
        versions = _versions(cursor, groups)
        moved = [index for index, group in enumerate(groups) if not _stands(group, versions)]
        positions: list[Positions | None] = [None] * len(groups)
        for index, found in self._stored_before(cursor, groups, moved).items():
            positions[index] = found
        taken, erased = _taken(cursor, groups)
        winners: dict[int, EncodedGroup] = {}
        for index, group in enumerate(groups):
            barring = taken if group.readmits else taken | erased
            if positions[index] is None and _stands(group, versions) and barring.isdisjoint(_hashes(group)):
                if group.keyless:
                    raise KeyGone(f"users without a key: {group.keyless}")
                winners[index] = group
                taken.update(_hashes(group))
                for log, stream_id, version, count in group.checks:
                    versions[log, stream_id] = version + count
        for index, written in zip(winners, _insert(cursor, list(winners.values())), strict=True):
            positions[index] = written
        return positions

    def _encode(self, group: Group, origin: Origin, now: datetime, keys: dict[UUID, DataKey]) -> EncodedGroup:
        encoded = EncodedGroup(readmits=group.readmit)
        for new in group.appends:
            encoded.checks.append((new.log, new.stream_id, new.version, len(new.events)))
            key = self._key(encoded, new, keys) if new.log == "users" else None
            cause = origin_of(new, origin)
            for version, event in enumerate(new.events, start=new.version + 1):
                try:
                    topic, state = self._mapper.encode(event, cause, key)
                except KeyGone:
                    encoded.keyless.append(new.stream_id)
                else:
                    encoded.rows.append((new.log, NewRow(new.stream_id, version, topic, state, now)))
        return encoded

    def _key(self, encoded: EncodedGroup, new: NewEvents, keys: dict[UUID, DataKey]) -> DataKey | None:
        """The user's key, made for one who registers."""
        key = keys.get(new.stream_id)
        for event in new.events:
            if isinstance(event, UserRegistered):
                key, wrapped = self._keyring.new_key(new.stream_id)
                hashed = None if event.external_id is None else self._keyring.external_id_hash(event.external_id)
                encoded.registrations.append(Registration(new.stream_id, wrapped, hashed))
            elif isinstance(event, UserErased):
                encoded.erased.append(new.stream_id)
        return key

    def _stored_before(
        self, cursor: Cursor[Row], groups: Sequence[EncodedGroup], suspects: Sequence[int]
    ) -> dict[int, Positions]:
        """Of the groups whose streams have moved on, those that stand there byte by byte: written, and acknowledged late."""
        stored: dict[tuple[Log, UUID, int], tuple[str, bytes, int]] = {}
        for log in LOGS:
            mine = [row for index in suspects for its_log, row in groups[index].rows if its_log == log]
            if mine:
                ids, versions = [row.stream_id for row in mine], [row.version for row in mine]
                cursor.execute(STORED[log], (ids, versions, *bounds(ids)), prepare=True)
                stored.update({(log, row[0], row[1]): row[2:] for row in cursor})
        found: dict[int, Positions] = {}
        for index in suspects:
            rows = groups[index].rows
            there = {log: stored.get((log, row.stream_id, row.version)) for log, row in rows}
            if rows and all(stored.get((log, row.stream_id, row.version), ())[:2] == (row.topic, row.state) for log, row in rows):
                found[index] = {log: last[2] for log, last in there.items() if last}
        return found


def lock(cursor: Cursor[Any], logs: Iterable[Log]) -> None:
    """Take the locks of these logs, in the one order in which everybody does."""
    wanted = set(logs)
    for log in LOGS:
        if log in wanted:
            TABLES[log].lock(cursor)


def logs_of(groups: Iterable[EncodedGroup]) -> set[Log]:
    """The logs that these groups touch."""
    return {check[0] for group in groups for check in group.checks}


def by_group(groups: Sequence[EncodedGroup], written: Written) -> list[Positions]:
    """As `EventAppending.write` answers."""
    given = {log: iter(positions) for log, positions in written.items()}
    return [{log: next(given[log]) for log, _ in group.rows} for group in groups]


def appended(positions: Sequence[Positions | None]) -> Appended:
    """The answer to one caller."""
    last: Positions = {}
    for found in positions:
        for log, position in (found or {}).items():
            last[log] = max(position, last.get(log, 0))
    return Appended(frozenset(index for index, found in enumerate(positions) if found is None), Position(**last))


def at_once(groups: Sequence[EncodedGroup]) -> bool:
    """Whether one statement can write all that these groups say: to one log, or to those of messages and of dispatches.

    It can't if they say it of a stream in several parts; if they say more than events do, or too much.
    """
    if not all(group.rows and not (group.registrations or group.erased or group.keyless) for group in groups):
        return False
    checks = [check for group in groups for check in group.checks]
    logs, streams, counts = {check[0] for check in checks}, {check[1].int for check in checks}, [check[3] for check in checks]
    each_once = len(streams) == len(checks) and all(counts)
    return each_once and sum(counts) <= ROWS_A_STATEMENT and (len(logs) == 1 or logs == TWO_LOGS)


def _append(cursor: Cursor[Row], rows: Mapping[Log, Sequence[NewRow]]) -> Written | None:
    """None if a stream has moved on."""
    if len(rows) == 1:
        [(log, mine)] = rows.items()
        positions = TABLES[log].append(cursor, mine)
        return None if positions is None else {log: positions}
    both = append_to_two(cursor, rows["messages"], rows["dispatches"])
    return None if both is None else {"messages": both[0], "dispatches": both[1]}


def _versions(cursor: Cursor[Row], groups: Sequence[EncodedGroup]) -> dict[tuple[Log, UUID], int]:
    """The last version of every stream touched; a stream that is not there is missing."""
    versions: dict[tuple[Log, UUID], int] = {}
    for log in LOGS:
        ids = {stream_id for group in groups for its_log, stream_id, _, _ in group.checks if its_log == log}
        if ids:
            cursor.execute(VERSIONS[log], (list(ids), *bounds(ids)), prepare=True)
            versions.update({(log, stream_id): version for stream_id, version in cursor})
    return versions


def _stands(group: EncodedGroup, versions: dict[tuple[Log, UUID], int]) -> bool:
    for log, stream_id, version, _ in group.checks:  # noqa: SIM110 -- a plain loop takes half the time of all()
        if versions.get((log, stream_id), 0) != version:
            return False
    return True


def _hashes(group: EncodedGroup) -> list[bytes]:
    return [new.external_id_hash for new in group.registrations if new.external_id_hash is not None]


def _taken(cursor: Cursor[Row], groups: Sequence[EncodedGroup]) -> tuple[set[bytes], set[bytes]]:
    """External IDs of these groups that belong to someone, and those that belonged to someone erased."""
    taken: set[bytes] = set()
    erased: set[bytes] = set()
    if hashes := [hashed for group in groups for hashed in _hashes(group)]:
        cursor.execute("SELECT hmac, erased FROM external_ids WHERE hmac = ANY(%b)", (hashes,), prepare=True)
        for hashed, is_erased in cursor:
            (erased if is_erased else taken).add(bytes(hashed))
    return taken, erased


def _insert(cursor: Cursor[Row], groups: Sequence[EncodedGroup]) -> list[Positions]:
    """Events, new users' keys and external IDs; erased users' keys go."""
    positions: list[Positions] = [{} for _ in groups]
    for log in LOGS:
        mine = [(index, row) for index, group in enumerate(groups) for its_log, row in group.rows if its_log == log]
        for (index, _), position in zip(mine, TABLES[log].insert(cursor, [row for _, row in mine]), strict=True):
            positions[index][log] = position
    _register(cursor, [new for group in groups for new in group.registrations])
    _forget(cursor, [user_id for group in groups for user_id in group.erased])
    return positions


def _register(cursor: Cursor[Row], new: Sequence[Registration]) -> None:
    if not new:
        return
    cursor.execute(
        "INSERT INTO user_keys (user_id, wrapped) SELECT * FROM unnest(%b::uuid[], %b::bytea[])",
        ([one.user_id for one in new], [one.wrapped for one in new]),
        prepare=True,
    )
    named = [one for one in new if one.external_id_hash is not None]
    if not named:
        return
    cursor.execute(
        "INSERT INTO external_ids (hmac, user_id) SELECT * FROM unnest(%b::bytea[], %b::uuid[])"
        " ON CONFLICT (hmac) DO UPDATE SET user_id = excluded.user_id, erased = false WHERE external_ids.erased",
        ([one.external_id_hash for one in named], [one.user_id for one in named]),
        prepare=True,
    )


def _forget(cursor: Cursor[Row], user_ids: Sequence[UUID]) -> None:
    """Without the user's ID the external ID's hash tells nothing of them, but still keeps it from being taken again."""
    if not user_ids:
        return
    cursor.execute("DELETE FROM user_keys WHERE user_id = ANY(%b)", (list(user_ids),))
    cursor.execute("UPDATE external_ids SET user_id = NULL, erased = true WHERE user_id = ANY(%b)", (list(user_ids),))
