"""Do stored events keep their bytes for ever, and personal data its seal?"""

from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from msgspec import json

from application.ports import Origin
from domain.event import Event, stored_name
from domain.scheduled_message import MessageAbandoned, MessageRedriven
from domain.user import PERSONAL, TimezoneChanged, UserRegistered, UserRenamed
from infrastructure.event_mapper import EVENTS, EventMapper, Unreadable, needs_key
from infrastructure.keyring import DataKey, KeyGone
from infrastructure.upcasters import UPCASTERS
from tests.contract.example_events import EXAMPLES, LATER, REPEATED, USER

GOLDEN: Final = Path(__file__).parent / "golden"
ORIGIN: Final = Origin("key:crm", "story-1", "users:41")
EVERY_KIND: Final = [kind for kinds in EVENTS.values() for kind in kinds]
OLD_SHAPES: Final[dict[str, Event]] = {
    "message.redriven.v1": MessageRedriven(**REPEATED, by="cli", send_before=LATER),
}
"""What an event stored under a name that is written no more reads as today."""
BEFORE: Final = ".before"
SHORTER_SHAPES: Final[dict[str, Event]] = {
    f"message.abandoned.v1{BEFORE}": MessageAbandoned(**REPEATED, reason="rejected", error="rejected:400"),
}
"""What an event reads as that was stored before its name took one field more."""


def key(user_id: UUID = USER, secret: bytes = bytes(range(32))) -> DataKey:
    """With a nonce of zeros, so that the same event is sealed to the same bytes."""
    return DataKey(secret, user_id, randomness=bytes)


def test_every_kind_of_event_has_its_example_and_its_golden_file() -> None:
    names = {stored_name(kind) for kind in EVERY_KIND}
    assert {stored_name(type(example)) for example in EXAMPLES} == names
    assert {file.stem for file in GOLDEN.iterdir()} == names | OLD_SHAPES.keys() | SHORTER_SHAPES.keys()
    assert OLD_SHAPES.keys() == UPCASTERS.keys()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: stored_name(type(example)))
def test_an_event_is_stored_as_it_always_was(example: Event) -> None:
    name, state = EventMapper().encode(example, ORIGIN, key())
    assert state == golden(name)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: stored_name(type(example)))
def test_what_was_stored_at_any_time_is_still_read(example: Event) -> None:
    name = stored_name(type(example))
    stored = EventMapper().decode(name, golden(name), key())
    assert (stored.event, stored.origin) == (example, ORIGIN)


@pytest.mark.parametrize("name", OLD_SHAPES)
def test_what_was_stored_in_an_old_shape_is_still_read(name: str) -> None:
    stored = EventMapper().decode(name, golden(name), key())
    assert (stored.event, stored.origin) == (OLD_SHAPES[name], ORIGIN)


@pytest.mark.parametrize("name", SHORTER_SHAPES)
def test_what_was_stored_before_a_field_was_added_is_still_read(name: str) -> None:
    stored = EventMapper().decode(name.removesuffix(BEFORE), golden(name), key())
    assert (stored.event, stored.origin) == (SHORTER_SHAPES[name], ORIGIN)


@pytest.mark.parametrize("example", [example for example in EXAMPLES if needs_key(type(example))], ids=lambda e: type(e).__name__)
def test_without_the_key_personal_fields_read_as_blanks_and_the_rest_stays(example: Event) -> None:
    name, state = EventMapper().encode(example, ORIGIN, key())
    read = EventMapper().decode(name, state, None).event
    for field in example.__struct_fields__:
        assert getattr(read, field) == (PERSONAL[field] if field in PERSONAL else getattr(example, field))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: stored_name(type(example)))
def test_no_personal_field_is_stored_in_the_clear(example: Event) -> None:
    _, state = EventMapper().encode(example, ORIGIN, key())
    fields: dict[str, Any] = json.decode(state)["event"]
    assert PERSONAL.keys().isdisjoint(fields)
    for personal in (b"Ada", b"Augusta", b"Lovelace", b"example.com", b"Countess", b"12-10", b"crm-7"):
        assert personal not in state


def test_nothing_personal_is_stored_without_a_key() -> None:
    with pytest.raises(KeyGone):
        EventMapper().encode(UserRenamed(first_name="Ada", last_name=""), ORIGIN, None)


def test_the_seal_of_one_user_does_not_open_for_another() -> None:
    name, state = EventMapper().encode(EXAMPLES[0], ORIGIN, key())
    for other in (key(uuid4()), key(secret=bytes(32))):
        with pytest.raises(Unreadable, match="InvalidTag"):
            EventMapper().decode(name, state, other)


def test_a_sealed_blob_moved_into_another_kind_of_event_does_not_open() -> None:
    sealed = json.decode(golden("user.renamed.v1"))["event"]["sealed"]
    forged = {"event": {"type": "user.email_changed.v1", "sealed": sealed}, "who": "cli"}
    with pytest.raises(Unreadable, match="InvalidTag"):
        EventMapper().decode("user.email_changed.v1", json.encode(forged), key())


OTHER_BYTES: Final = {
    "nothing": b"",
    "cut off": b"{",
    "empty": b"{}",
    "a field short": b'{"event":{"type":"user.timezone_changed.v1"},"who":"cli"}',
    "no text": b"\xff",
    "no text in JSON": b'{"event":{"type":"user.timezone_changed.v1","timezone":"\xff"},"who":"\xff"}',
}


@pytest.mark.parametrize("state", OTHER_BYTES.values(), ids=OTHER_BYTES)
def test_bytes_of_another_shape_are_unreadable(state: bytes) -> None:
    with pytest.raises(Unreadable):
        EventMapper().decode("user.timezone_changed.v1", state, None)


@pytest.mark.parametrize("state", [b"{", b"{}", b'{"event":{},"who":"\xff"}'])
def test_bytes_that_do_not_say_who_caused_them_are_unreadable(state: bytes) -> None:
    with pytest.raises(Unreadable):
        EventMapper().unread("user.timezone_changed.v1", state)


def test_a_seal_that_is_cut_short_is_unreadable() -> None:
    forged = {"event": {"type": "user.email_changed.v1", "sealed": b"\x01"}, "who": "cli"}
    with pytest.raises(Unreadable):
        EventMapper().decode("user.email_changed.v1", json.encode(forged), key())


def test_an_unknown_stored_name_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="unknown"):
        EventMapper().decode("user.levitated.v1", b"{}", None)


def renamed_v0(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An invented old shape: one full name, personal and sealed, and a clear nickname that was dropped later."""
    first, _, last = fields.get("name", "").partition(" ")
    names = {"first_name": first, "last_name": last} if "name" in fields else {}
    return "user.renamed.v1", names


def moved_v0(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "user.moved.v1", {"zone": fields["tz"]}


def moved_v1(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "user.timezone_changed.v1", {"timezone": fields["zone"]}


OLD: Final = EventMapper({"user.renamed.v0": renamed_v0, "user.moved.v0": moved_v0, "user.moved.v1": moved_v1})


def test_old_shapes_climb_step_by_step_to_todays() -> None:
    state = json.encode({"event": {"type": "user.moved.v0", "tz": "Asia/Tokyo"}, "who": "cli", "correlation_id": "story"})
    stored = OLD.decode("user.moved.v0", state, None)
    assert stored.event == TimezoneChanged(timezone="Asia/Tokyo")
    assert stored.origin == Origin("cli", "story")


def test_an_old_shape_opens_its_seal_first() -> None:
    sealed = key().seal("user.renamed.v0", b'{"name":"Ada Lovelace"}')
    state = json.encode({"event": {"type": "user.renamed.v0", "nickname": "x", "sealed": sealed}, "who": "cli"})
    assert OLD.decode("user.renamed.v0", state, key()).event == UserRenamed(first_name="Ada", last_name="Lovelace")
    assert OLD.decode("user.renamed.v0", state, None).event == UserRenamed(first_name="", last_name="")


@pytest.mark.parametrize("said", [{"event": {"type": "user.moved.v0"}, "who": "cli"}, {"event": "x"}, {"event": []}, {}], ids=str)
def test_an_old_shape_that_makes_no_event_of_today_is_unreadable(said: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        OLD.decode("user.moved.v0", json.encode(said), None)


def test_a_follower_of_some_kinds_skips_only_what_surely_is_none_of_them() -> None:
    others = OLD.others(frozenset({TimezoneChanged}))
    assert "user.registered.v1" in others
    assert not {"user.timezone_changed.v1", "user.moved.v0", "user.moved.v1"} & set(others)
    assert OLD.may_be_sealed("user.renamed.v0")
    assert OLD.may_be_sealed(stored_name(UserRegistered))
    assert not OLD.may_be_sealed("message.sent.v1")


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()
