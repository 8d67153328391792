"""`ninebell pause` and `ninebell resume`: what do they do, and what do they say?"""

import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from application.pause_sending import NothingOfThatName, Pause, pause_sending, resume_sending
from domain.errors import Invalid
from infrastructure.pauses import PostgresPauses
from ops.at_hand import at_hand
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts

CLI: Final = "cli"


def pause_named(settings: Settings, name: str, reason: str) -> int:
    """Raises WrongSettings for what can't be paused, or without a reason."""
    with at_hand(settings, "pause") as parts:
        known, pauses = {*parts.channels.names, *parts.types}, PostgresPauses(parts.database)
        try:
            begun = pause_sending(Pause(name, CLI, reason, parts.clock.now()), known, pauses)
        except NothingOfThatName as refused:
            raise WrongSettings(str(refused)) from refused
        except Invalid as refused:
            raise WrongSettings(f"--{refused}") from refused
        if not begun:
            print("It is paused already:")
        _show(pauses.open())
    return 0


def resume_named(settings: Settings, name: str, reason: str) -> int:
    """1 if nothing is paused under that name."""
    with at_hand(settings, "resume") as parts:
        pauses = PostgresPauses(parts.database)
        try:
            resume_sending(Pause(name, CLI, reason, parts.clock.now()), pauses)
        except NothingOfThatName as refused:
            print(refused)
            _show(pauses.open())
            return 1
        print(f"{name or 'Everything'} is resumed.")
        _show(pauses.open())
    return 0


def list_pauses(settings: Settings, *, as_json: bool) -> int:
    """What is paused now; always 0."""
    with at_hand(settings, "pause") as parts:
        found = PostgresPauses(parts.database).open()
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    elif found:
        _show(found)
    else:
        print("Nothing is paused.")
    return 0


def told(pause: Pause) -> str:
    """In one line."""
    return f"{pause.name or 'everything'} is paused since {pause.at:%Y-%m-%dT%H:%M:%SZ} by {pause.who}: {pause.reason}"


def paused_now(parts: Parts) -> list[str]:
    """A line each."""
    return [told(pause) for pause in PostgresPauses(parts.database).open()]


def _show(pauses: Sequence[Pause]) -> None:
    for pause in pauses:
        print(told(pause))
