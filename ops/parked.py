"""`ninebell parked`: what was left alone, tried again or forgotten."""

import asyncio
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from infrastructure.parked import Parked, ParkedThings
from infrastructure.rabbitmq_dead import DeadCommand, DeadCommands
from ops.at_hand import at_hand
from ops.messages import CLI, print_json
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts

BUS: Final = "bus"
MOST_COMMANDS: Final = 1_000
COLUMNS: Final = ("id", "what", "of", "error", "since")


class Chosen:
    """What the arguments name."""

    def __init__(self, ids: Sequence[str], follower: str | None, *, everything: bool) -> None:
        """Raises WrongSettings unless exactly one of them names something."""
        if sum((bool(ids), follower is not None, everything)) != 1:
            raise WrongSettings("name either IDs, or --follower NAME, or --all")
        self._ids, self._follower = frozenset(ids), follower

    @property
    def commands(self) -> Collection[str] | None:
        """Digests of send commands; None for all."""
        if self._ids:
            return [each.removeprefix(f"{BUS}/") for each in self._ids if each.startswith(f"{BUS}/")]
        return None if self._follower in (None, BUS) else []

    def rows(self, parts: Parts) -> Iterator[Parked]:
        """All else. Raises WrongSettings for an ID that there is not."""
        wanted = {each for each in self._ids if not each.startswith(f"{BUS}/")}
        if self._follower == BUS or (self._ids and not wanted):
            return
        for row in ParkedThings(parts.database).all(self._follower):
            if not self._ids or row.id in wanted:
                wanted.discard(row.id)
                yield row
        if wanted:
            raise WrongSettings(f"nothing is parked under {', '.join(sorted(wanted))}: ninebell parked list")


def list_parked(settings: Settings, follower: str | None, limit: int, *, as_json: bool) -> int:
    """Always 0."""
    with at_hand(settings, "parked") as parts:
        rows = [] if follower == BUS else _first(ParkedThings(parts.database).all(follower), limit)
    found = [_row(row) for row in rows]
    if follower in (None, BUS) and settings.amqp_url:
        found += [_command(dead) for dead in asyncio.run(_look(settings.amqp_url.get_secret_value(), limit))]
    if as_json:
        print_json({"items": found})
    else:
        _show(found)
    return 0


def retry(settings: Settings, ids: Sequence[str], follower: str | None, *, everything: bool) -> int:
    """1 if something fails again."""
    chosen = Chosen(ids, follower, everything=everything)
    applied, asked, failed = 0, 0, 0
    with at_hand(settings, "parked") as parts:
        left_to_others: list[str] = []
        for row in list(chosen.rows(parts)):  # all are known before any is touched
            projector = parts.projectors.get(row.follower)
            if projector is None:
                left_to_others.append(row.id)
            elif error := projector.retry(int(row.id.rpartition("/")[2])):
                failed += 1
                print(f"{row.id} fails again: {error}", file=sys.stderr)
            else:
                applied += 1
        asked = ParkedThings(parts.database).ask_again(left_to_others)
    back, none = _commands_back(settings, chosen.commands)
    for number, said in (
        (applied, "applied"),
        (asked, "are looked at again by their process managers, while these run"),
        (back, "send commands put back"),
    ):
        if number:
            print(f"{number} {said}")
    if none:
        print(f"{none} in the dead queue are no send commands, and stay", file=sys.stderr)
    return 1 if failed or none else 0


def discard(settings: Settings, ids: Sequence[str], follower: str | None, *, everything: bool) -> int:
    """Says on standard error what it was, and who did it."""
    chosen = Chosen(ids, follower, everything=everything)
    with at_hand(settings, "parked") as parts:
        rows = list(chosen.rows(parts))
        number = ParkedThings(parts.database).discard([row.id for row in rows])
    for row in rows:
        print(f"discarded by {CLI.who}: {row.id} {row.what} {row.error}", file=sys.stderr)
    dropped = _commands_dropped(settings, chosen.commands)
    if dropped:
        print(f"discarded by {CLI.who}: {dropped} send commands", file=sys.stderr)
    print(f"{number + dropped} discarded")
    return 0


async def _look(url: str, limit: int) -> list[DeadCommand]:
    async with DeadCommands.open(url) as dead:
        return await dead.look(limit)


def _commands_back(settings: Settings, digests: Collection[str] | None) -> tuple[int, int]:
    async def back(url: str) -> tuple[int, int]:
        async with DeadCommands.open(url) as dead:
            return await dead.retry(digests, MOST_COMMANDS)

    named = digests is None or digests
    return asyncio.run(back(settings.amqp_url.get_secret_value())) if named and settings.amqp_url else (0, 0)


def _commands_dropped(settings: Settings, digests: Collection[str] | None) -> int:
    async def drop(url: str) -> int:
        async with DeadCommands.open(url) as dead:
            return await dead.discard(digests, MOST_COMMANDS)

    named = digests is None or digests
    return asyncio.run(drop(settings.amqp_url.get_secret_value())) if named and settings.amqp_url else 0


def _first(rows: Iterator[Parked], limit: int) -> list[Parked]:
    return [row for _, row in zip(range(limit), rows, strict=False)]


def _row(row: Parked) -> dict[str, Any]:
    return {
        "id": row.id,
        "follower": row.follower,
        "what": row.what,
        "of": row.stream_id,
        "error": row.error,
        "since": row.since,
        "again": row.again,
    }


def _command(dead: DeadCommand) -> dict[str, Any]:
    return {
        "id": f"{BUS}/{dead.digest}",
        "follower": BUS,
        "what": f"send command for {dead.routing_key or 'nobody'}",
        "of": dead.dispatch_id,
        "error": dead.error or dead.reason,
        "since": dead.died_at,
        "again": False,
    }


def _show(found: list[dict[str, Any]]) -> None:
    if not found:
        print("nothing is parked")
        return
    rows = [COLUMNS, *(_cells(one) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    since = f"{one['since']:%Y-%m-%dT%H:%M:%SZ}" if one["since"] else ""
    error = one["error"] + (" (being tried again)" if one["again"] else "")
    return one["id"], one["what"], str(one["of"] or ""), error, since
