"""Can nobody who edits a text read a clock, reach a file, name what is not there, or use up a worker?"""

import pytest

from application.edit_templates import BadText
from infrastructure.liquid_text import compile_text

WORDS = {"first_name": "Ada", "last_name": "Lovelace", "age": None}
KNOWN = frozenset(WORDS)
DOUBLED = "{% capture x %}{{ first_name }}{% endcapture %}" + "{% capture x %}{{ x }}{{ x }}{% endcapture %}" * 40


def said(text: str) -> str:
    return compile_text(text, KNOWN)(WORDS)


def test_a_text_may_choose_count_and_shorten():
    assert said("{% if age %}{{ age }}{% else %}Hey {{ first_name | upcase }}{% endif %}") == "Hey ADA"
    assert said("{% assign n = first_name | size %}{% for i in (1..n) %}*{% endfor %}") == "***"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ fist_name }}", "'fist_name' is not known here; known are age, first_name, last_name"),
        ("{% if first_name == 'Bob' %}{{ nick_name }}{% endif %}", "'nick_name' is not known here"),
        ("{{ now }}", "'now' is not known here"),
        ("{{ 'now' | date: '%s' }}", "unknown filter 'date'"),
        ("{{ first_name | replace: '', first_name }}", "unknown filter 'replace'"),
        ("{% include 'secrets' %}", "include"),
        ("{% render 'secrets' %}", "render"),
        ("Hey {{ first_name", "(line 1, column 5)"),
        ("Hey\n{% if age", "(line 2"),
        ("{% if age %}", "expected tag endif"),
        ("{% for i in (1..100000000) %}{% endfor %}", "loop iteration limit"),
        ("{% for i in (1..900) %}{% for j in (1..900) %}{% endfor %}{% endfor %}", "loop iteration limit"),
        (DOUBLED, "limit reached"),
        ("{% for i in (1..1000) %}" + "x" * 100 + "{% endfor %}", "output stream limit"),
        ("{% if age %}" * 5000, "nesting"),
        ("{{ first_name | append }}", "append"),
        ("{{ 1 | divided_by: 0 }}", "divided"),
        ("{{ first_name.__class__.__mro__ }}", "__class__"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text, why):
    with pytest.raises(BadText) as refused:
        said(text)
    assert why in str(refused.value)


def test_what_was_filled_in_is_not_quoted_in_an_error():
    with pytest.raises(BadText) as refused:
        compile_text("{{ first_name | times: 2 | divided_by: 0 }}", KNOWN)({**WORDS, "first_name": "Zebedee"})
    assert "Zebedee" not in str(refused.value)


@pytest.mark.parametrize("text", ["{{ first_name }}\r\n.", "{% capture x %}{{ first_name }}\r\n{% endcapture %}{{ x }}."])
def test_line_breaks_stay_as_they_are(text):
    assert compile_text(text, KNOWN)({**WORDS, "first_name": "A\rB"}) == "A\rB\r\n."


def test_a_name_is_never_read_as_a_text():
    assert (
        compile_text("{% if first_name %}{{ first_name }}{% endif %}", KNOWN)({**WORDS, "first_name": "{{7|times:7}}"})
        == "{{7|times:7}}"
    )
