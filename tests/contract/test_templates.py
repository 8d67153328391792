"""Is every text kept under a number of its own, and does a worker soon say the newest?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest

from application.edit_templates import BadText, EditTemplates, WrittenTemplate
from application.ports import StoreUnavailable
from domain.message_type import registry
from domain.template import Template
from domain.user import User
from infrastructure import template_tables
from infrastructure.database import Database
from infrastructure.liquid_text import compile_text
from infrastructure.template_tables import PostgresTemplates, RememberedTexts

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY = date(2027, 5, 15)
TYPES = registry()


@pytest.fixture
def templates(migrated_database: str) -> Iterator[PostgresTemplates]:
    with Database(migrated_database, application_name="test") as opened:
        yield PostgresTemplates(opened)


@pytest.fixture
def editing(templates: PostgresTemplates) -> EditTemplates:
    return EditTemplates(templates, TYPES, compile_text)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered."""
    monkeypatch.setattr(template_tables, "REMEMBERED_SECONDS", 0.0)


def put(editing: EditTemplates, body: str, language: str = "default", message_type: str = "BIRTHDAY") -> int:
    return editing.set(message_type, language, "Hey!", body, "test", NOW).template.version


def said(texts: RememberedTexts, language: str | None = None) -> tuple[str, int]:
    user = User(
        first_name="Ada",
        last_name="",
        email="a@example.org",
        timezone="Europe/London",
        birthday="1990-05-15",
        language=language,
        first_occasion=DAY,
    )
    rendered = texts.render()(TYPES["BIRTHDAY"], user, DAY)
    return rendered.body, rendered.template_version


def test_numbers_go_by_type_and_begin_after_the_text_in_code(editing):
    assert [put(editing, "a"), put(editing, "b", "fr"), put(editing, "c"), put(editing, "d", message_type="ANNIVERSARY")] == [
        2,
        3,
        4,
        2,
    ]


def test_saying_the_same_again_is_no_new_version(editing):
    assert [put(editing, "a"), put(editing, "a"), put(editing, "b"), put(editing, "a")] == [2, 2, 3, 4]


def test_every_version_can_be_read_for_ever(editing):
    put(editing, "a", "fr")
    put(editing, "b", "fr")
    assert [editing.show("BIRTHDAY", "FR", version).template.body for version in (2, 3, None)] == ["a", "b", "b"]
    assert editing.show("BIRTHDAY", "default", 1) == editing.show("BIRTHDAY", "default")
    assert editing.show("BIRTHDAY", "fr").who == "test"


def test_those_who_write_at_once_get_numbers_of_their_own(editing):
    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda number: put(editing, f"text {number}"), range(16)))
    assert sorted(numbers) == list(range(2, 18))


def test_a_person_is_greeted_in_their_language_or_the_next_wider_one(editing, templates, at_once):
    texts = RememberedTexts(templates.newest, TYPES)
    assert said(texts, "pt-BR") == ("Hey, Ada it's your birthday", 1)
    put(editing, "Oi {{ first_name }}", "pt")
    put(editing, "Olá {{ first_name }}", "pt-pt")
    assert said(texts, "pt-BR") == ("Oi Ada", 2)
    assert said(texts, "pt-PT") == ("Olá Ada", 3)
    assert said(texts, "fr") == said(texts) == ("Hey, Ada it's your birthday", 1)
    put(editing, "Hello {% if age %}{{ age }}{% endif %}")
    assert said(texts, "fr") == said(texts) == ("Hello 37", 4)


class Shelf:
    """Counts how often it is looked at, and may be away."""

    def __init__(self, templates: PostgresTemplates) -> None:
        self.templates, self.looks, self.is_away = templates, 0, False

    def newest(self) -> list[WrittenTemplate]:
        self.looks += 1
        if self.is_away:
            raise StoreUnavailable("away")
        return self.templates.newest()


def test_the_texts_are_read_again_only_after_a_while(templates):
    shelf = Shelf(templates)
    texts = RememberedTexts(shelf.newest, TYPES)
    assert said(texts) == said(texts) == ("Hey, Ada it's your birthday", 1)
    assert shelf.looks == 1


def test_while_the_database_is_away_the_last_texts_count(editing, templates, at_once):
    put(editing, "Hello")
    shelf = Shelf(templates)
    texts = RememberedTexts(shelf.newest, TYPES)
    assert said(texts) == ("Hello", 2)
    shelf.is_away = True
    assert said(texts) == ("Hello", 2)
    with pytest.raises(StoreUnavailable):
        RememberedTexts(shelf.newest, TYPES).render()


def test_a_text_that_its_type_has_outgrown_stops_its_own_messages_only():
    old = WrittenTemplate(message_type="BIRTHDAY", language="fr", template=Template("s", "{{ nickname }}", 2), who="x", at=NOW)
    gone = WrittenTemplate(message_type="GONE", language="default", template=Template("s", "b", 2), who="x", at=NOW)
    texts = RememberedTexts(lambda: [old, gone], TYPES)
    assert said(texts, "de") == ("Hey, Ada it's your birthday", 1)
    with pytest.raises(BadText, match="nickname"):
        said(texts, "fr")
