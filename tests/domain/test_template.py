"""Is a person's text found by their language, are its places filled, and is nothing in a name ever evaluated?"""

from datetime import date

import pytest
from hypothesis import example
from hypothesis import given as whatever
from hypothesis import strategies as st

from domain.message_type import registry
from domain.message_types.anniversary import ANNIVERSARY
from domain.message_types.birthday import BIRTHDAY
from domain.message_types.holiday import HOLIDAY_GREETING
from domain.template import Template, Text, Words, language_tag, languages, one_line, plain, text_in_code
from domain.user import User
from infrastructure.liquid_text import LimitedLiquid

TYPES = registry()
NAMES = ("{{ 7 | times: 7 }}", "{% if true %}x{% endif %}", "{{first_name}}", "${7*7}", "<b>&amp;</b>", "%s {0}")
WORDS: Words = {"first_name": "Ada", "last_name": "Lovelace", "age": 36, "years": None}


def filled(subject: str, body: str, words: Words = WORDS) -> tuple[str, str]:
    rendered = text_in_code(Template(subject, body)).rendered(words)
    return rendered.subject, rendered.body


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", TYPES.values(), ids=list(TYPES))
def test_signs_in_a_name_are_text(kind, name):
    user = User(
        first_name=name,
        last_name=name,
        email="a@example.org",
        timezone="Europe/London",
        birthday="1990-12-25",
        anniversary=date(2010, 12, 25),
        country="GB",
        first_occasion=date(2020, 1, 1),
    )
    assert name in kind.render(user, date(2027, 12, 25)).body


@pytest.mark.parametrize(
    ("language", "looked_for"),
    [
        ("pt-BR", ["pt-BR", "pt", "default"]),
        ("PT-br", ["pt-BR", "pt", "default"]),
        ("zh-hant-tw", ["zh-Hant-TW", "zh-Hant", "zh", "default"]),
        ("en", ["en", "default"]),
        (None, ["default"]),
    ],
)
def test_a_text_is_looked_for_from_the_narrowest_language_to_the_default(language, looked_for):
    assert list(languages(language)) == looked_for


def test_a_language_is_written_in_one_way():
    assert [language_tag(tag) for tag in ("EN-gb", "sr-LATN", "de-1996")] == ["en-GB", "sr-Latn", "de-1996"]


def test_a_word_that_is_not_known_of_this_person_reads_as_nothing():
    assert filled("{{ age }}", "It is{{ years }} {{ last_name }}") == ("36", "It is Lovelace")


def test_line_breaks_never_reach_a_subject():
    assert (
        filled("Hi\r\n{{ first_name }}\u2028!", "b", {"first_name": "Ada\nBcc: eve@example.org"})[0]
        == "Hi Ada Bcc: eve@example.org !"
    )
    assert one_line("a\0b\x85c\x1fd\u2029e") == "a b c d e"
    assert one_line("Joyeux anniversaire\u00a0!") == "Joyeux anniversaire\u00a0!"


def test_line_breaks_stay_in_a_body_and_runs_of_spaces_become_one():
    assert filled("s", "Hey,\n\n{{ first_name }}  !")[1] == "Hey,\n\nAda !"


@pytest.mark.parametrize("text", ["{% if age %}x{% endif %}", "{{ age | plus: 1 }}", "{{ true }}", "{{- age }}", "{{ age"])
def test_a_text_in_code_has_places_alone(text):
    assert plain(text) is None
    with pytest.raises(ValueError, match="places"):
        text_in_code(Template("s", text))


@example(pieces=["{{ first_name }}\r\n"], name="\r")
@whatever(
    pieces=st.lists(
        st.sampled_from(["{{ first_name }}", "{{age}}", "{{  years }}", "Hey, ", "{", "}", "%", "#}", "\n", "é"]), max_size=8
    ),
    name=st.text(max_size=20),
)
def test_places_are_filled_as_liquid_would(pieces, name):
    text = "".join(pieces)
    words = {"first_name": name, "age": 36, "years": None}
    if fill := plain(text):
        assert fill(words) == LimitedLiquid().from_string(text).render(words)


def test_a_text_keeps_its_number():
    assert Text(lambda _: "s", lambda _: "b", 7).rendered({}).template_version == 7


def test_every_sample_has_all_words_and_every_text_in_code_renders_with_them():
    for kind in (BIRTHDAY, ANNIVERSARY, HOLIDAY_GREETING):
        for sample in kind.samples:
            assert sample.keys() == kind.samples[0].keys()
            rendered = text_in_code(kind.template).rendered(sample)
            assert rendered.subject and rendered.body
