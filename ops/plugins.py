"""Which message types have others installed, and can they be relied on?"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import time, timedelta
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, cast, get_args

from domain.message_type import Doubt, LeapDay, MessageType, MessageTypes
from domain.spread import LONGEST_SPREAD_MINUTES
from domain.template import Templated, text_in_code
from ops.settings import WrongSettings

GROUP: Final = "ninebell.message_types"
HIGHEST_PRIORITY: Final = 1000
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}", re.ASCII)
log: Final = logging.getLogger(__name__)

PROMISES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "name": (lambda value: isinstance(value, str) and bool(_NAME.fullmatch(value)), "upper-case letters, digits and _"),
    "version": (lambda value: _is_number(value, 1, 2**31 - 1), "a number from 1 on"),
    "annual": (lambda value: isinstance(value, bool), "True or False"),
    "send_time": (lambda value: isinstance(value, time) and value.tzinfo is None, "a local time"),
    "spread_minutes": (lambda value: _is_number(value, 0, LONGEST_SPREAD_MINUTES), "0 to 60"),
    "late_window": (
        lambda value: value is None or (isinstance(value, timedelta) and value > timedelta()),
        "a length of time, or None",
    ),
    "priority": (lambda value: _is_number(value, 0, HIGHEST_PRIORITY), "0 to 1000"),
    "leap_day": (lambda value: value in get_args(LeapDay), " or ".join(get_args(LeapDay))),
    "doubt": (lambda value: value in get_args(Doubt), " or ".join(get_args(Doubt))),
    "occasions": (callable, "a method"),
    "validate": (callable, "a method"),
    "render": (callable, "a method"),
}
"""What a message type must have: whether a value will do, and what it should be."""


def with_plugins(built_in: MessageTypes) -> MessageTypes:
    """The built-in types and the installed ones, by name. Raises WrongSettings naming every one that is broken or there twice."""
    owners = dict.fromkeys(built_in, "Ninebell itself")
    found: dict[str, MessageType] = {}
    wrong = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            kind = _checked(entry)
        except _Broken as broken:
            wrong.append(f"message type plugin {_told(entry)} {broken}")
            continue
        if kind.name in owners:
            wrong.append(f"message type plugin {_told(entry)} has the name {kind.name}, and so has {owners[kind.name]}")
        owners.setdefault(kind.name, _told(entry))
        found.setdefault(kind.name, kind)
    if wrong:
        raise WrongSettings("\n".join(wrong))
    return MessageTypes(*built_in.values(), *(found[name] for name in sorted(found)))


@contextmanager
def registered(types: MessageTypes) -> Iterator[None]:
    """Tells each type that wants to know that it is in use by this process, and in the end that it is no more.

    Raises WrongSettings where a type does not want to be.
    """
    with ExitStack() as stack:
        for kind in types.values():
            try:
                getattr(kind, "on_register", _nothing)()
            except Exception as error:
                raise WrongSettings(f"message type {kind.name} fails in on_register: {_kind_of(error)}") from error
            stack.callback(_leave, kind)
        yield


class _Broken(Exception):
    """Why a plugin can't be used."""


def _checked(entry: EntryPoint) -> MessageType:
    """Raises _Broken."""
    try:
        loaded = entry.load()
        kind = loaded() if isinstance(loaded, type) else loaded
        for name, (will_do, wanted) in PROMISES.items():
            if not will_do(getattr(kind, name, None)) or not hasattr(kind, name):
                raise _Broken(f"must have {name}: {wanted}")
        if isinstance(kind, Templated):
            _check_texts(kind)
    except (Exception, SystemExit) as error:
        raise error if isinstance(error, _Broken) else _Broken(f"can't be loaded: {_kind_of(error)}") from error
    return cast("MessageType", kind)


def _check_texts(kind: Templated) -> None:
    text = text_in_code(kind.template)
    if not kind.samples or any(sample.keys() != kind.samples[0].keys() for sample in kind.samples):
        raise _Broken("must have samples, each with all the words")
    for sample in kind.samples:
        text.rendered(sample)


def _leave(kind: MessageType) -> None:
    try:
        getattr(kind, "on_unregister", _nothing)()
    except Exception as error:  # noqa: BLE001  the others are to be told all the same
        log.error("message type %s fails in on_unregister: %s", kind.name, type(error).__name__)


def _nothing() -> None:
    """Of types that need not know."""


def _told(entry: EntryPoint) -> str:
    return f"{entry.name} of {entry.dist.name} {entry.dist.version}" if entry.dist else f"{entry.name} ({entry.value})"


def _kind_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")


def _is_number(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
