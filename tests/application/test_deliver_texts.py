"""Does a worker say what people wrote last, and stand on each message which text it was?"""

from datetime import UTC, datetime

import pytest

from application.edit_templates import WrittenTemplate
from application.ports import StoreUnavailable
from application.texts import Render
from domain.message_type import registry
from domain.template import Template
from infrastructure.template_tables import RememberedTexts
from tests.delivery_scene import DUE, Scene
from tests.fake_event_store import FakeEventStore

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeEventStore())


class Desk:
    """Texts as they are edited while a worker works."""

    def __init__(self) -> None:
        self.written: list[WrittenTemplate] = []
        self.outages = 0

    def write(self, language: str, subject: str, body: str, version: int) -> None:
        template = Template(subject, body, version)
        self.written.append(WrittenTemplate(message_type="BIRTHDAY", language=language, template=template, who="x", at=NOW))

    def render(self) -> Render:
        if self.outages:
            self.outages -= 1
            raise StoreUnavailable("away")
        return RememberedTexts(lambda: self.written, registry()).render()


async def test_a_text_changes_between_two_claims_and_each_message_says_which_it_was(scene: Scene) -> None:
    desk, [first, second] = Desk(), scene.scheduled(2)
    worker = scene.worker(texts=desk.render)
    await scene.deliver(worker, scene.requested(first))
    desk.write("default", "Hi {{ first_name }}", "{% if age %}{{ age }} years!{% endif %}", 2)
    await scene.deliver(worker, scene.requested(second))
    assert [(letter.subject, letter.body) for letter in scene.provider.letters] == [
        ("Happy birthday!", "Hey, Ada Lovelace it's your birthday"),
        ("Hi Ada", "37 years!"),
    ]
    assert [scene.last(id_).template_version for id_ in (first, second)] == [1, 2]


async def test_each_person_is_greeted_in_their_language(scene: Scene) -> None:
    desk = Desk()
    desk.write("pt", "Parabéns!", "Olá {{ first_name }}", 2)
    ids = scene.scheduled(language="pt-BR") + scene.scheduled(language="fr")
    await scene.deliver(scene.worker(texts=desk.render), scene.requested(*ids))
    assert [letter.body for letter in scene.provider.letters] == ["Olá Ada", "Hey, Ada Lovelace it's your birthday"]


async def test_a_text_that_fails_on_one_person_stops_that_message_only(scene: Scene) -> None:
    desk = Desk()
    desk.write("en", "s", "{% for i in (1..age) %}{% for j in (1..age) %}x{% endfor %}{% endfor %}", 2)
    broken, sound = scene.scheduled(language="en", birthday="1927-05-15") + scene.scheduled(language="en", birthday="2017-05-15")
    await scene.deliver(scene.worker(texts=desk.render), scene.requested(broken, sound))
    assert (scene.message(broken).status, scene.message(broken).reason) == ("abandoned", "plugin_error")
    assert scene.message(sound).status == "sent"
    assert scene.last(broken).error == "BadText"


async def test_a_name_with_template_signs_goes_out_as_it_is(scene: Scene) -> None:
    desk = Desk()
    desk.write("default", "Hi {{ first_name }}", "{% if first_name %}{{ first_name }}{% endif %}", 2)
    [id_] = scene.scheduled(first_name="{{ 7 | times: 7 }}", last_name="{% raw %}")
    await scene.deliver(scene.worker(texts=desk.render), scene.requested(id_))
    [letter] = scene.provider.letters
    assert (letter.subject, letter.body) == ("Hi {{ 7 | times: 7 }}", "{{ 7 | times: 7 }}")


async def test_a_worker_waits_for_the_texts_it_has_never_read(scene: Scene) -> None:
    desk, [id_] = Desk(), scene.scheduled()
    desk.outages = 2
    await scene.deliver(scene.worker(texts=desk.render), scene.requested(id_))
    assert scene.message(id_).status == "sent"
    assert desk.outages == 0
    assert scene.last(id_).sent_at == DUE
