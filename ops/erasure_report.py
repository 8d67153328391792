"""`ninebell erasure-report`: is anything left of a person who was erased?"""

import sys
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import UUID

import msgspec
from rich.console import Console

from application.erasure_report import ErasureReport, Looked, erasure_report, report_by_hash
from application.ports import Position
from domain.errors import UserErasedError, UserUnknown
from infrastructure.erasure_traces import PostgresTraces
from ops.at_hand import at_hand
from ops.explain import user_id_of
from ops.progress import watched
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts
from projections.message_log import MESSAGE_LOG
from projections.users_view import USERS_VIEW

FOUND: Final = 1
WAIT_SECONDS: Final = 10.0


def say_erased(user: str, settings: Settings, archives: Path | None, *, as_json: bool) -> int:
    """0 if all is gone, 1 if something was found, or not all looked at. `user` is a UUID or an external ID.

    Raises WrongSettings for nobody.
    """
    with at_hand(settings, "erasure-report") as parts:
        try:
            found = _looked(user_id_of(user, parts.store), parts, archives)
        except UserUnknown as error:
            raise WrongSettings("no user has this ID, nor this external_id") from error
        except UserErasedError:
            found = report_by_hash(Looked("external_ids", "it is marked erased; a user's ID beside its hash", 0))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        _show(found)
    return 0 if found.clean else FOUND


def _looked(user_id: UUID, parts: Parts, archives: Path | None) -> ErasureReport:
    """Once whoever is running has had its time to draw conclusions."""
    head, deadline = Position(users=parts.store.head().users), monotonic() + WAIT_SECONDS
    for read_model in (USERS_VIEW, MESSAGE_LOG):
        parts.followers.wait_for(read_model, head, max(0.0, deadline - monotonic()))
    with watched() as told:
        return erasure_report(user_id, PostgresTraces(parts.store, archives), told)


def _show(found: ErasureReport) -> None:
    console = Console(highlight=False)
    for one in found.looked:
        console.print(f"{'FOUND' if one.found else 'ok':5}  {one.place}: {one.what}: {one.found}", markup=False, soft_wrap=True)
    for note in found.notes:
        console.print(note, markup=False, soft_wrap=True)
    left = any(one.found for one in found.looked)
    console.print("Nothing is left." if found.clean else "SOMETHING IS LEFT." if left else "NOT EVERYTHING WAS LOOKED AT.")
