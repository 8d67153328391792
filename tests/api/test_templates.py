"""Can a text be read and written over HTTP, and is one that does not render refused at its field?"""

import pytest

FRENCH = {"subject": "Joyeux anniversaire !", "body": "Bonjour {{ first_name }}{% if age %}, {{ age }} ans{% endif %}"}
IN_CODE = "Hey, {{ first_name }} {{ last_name }} it's your birthday"


def test_the_text_in_code_is_the_default(town):
    shown = town.client.get("/v1/templates/BIRTHDAY/default").json()
    assert (shown["version"], shown["body"], shown["who"], shown["at"]) == (1, IN_CODE, "", None)
    assert shown["words"] == ["first_name", "last_name", "age"]


def test_a_text_is_kept_under_a_new_version_with_who_wrote_it_and_when(town):
    written = town.client.put("/v1/templates/BIRTHDAY/fr", json=FRENCH)
    assert written.status_code == 200
    assert written.json() == town.client.get("/v1/templates/BIRTHDAY/fr").json()
    assert (written.json()["version"], written.json()["who"], written.json()["at"]) == (2, "key:default", "2027-03-01T12:00:00Z")
    again = town.client.put("/v1/templates/BIRTHDAY/fr", json=FRENCH | {"body": "Salut"}).json()
    assert again["version"] == 3
    assert town.client.get("/v1/templates/BIRTHDAY/fr?version=2").json()["body"] == FRENCH["body"]


def test_everything_in_use_is_listed(town):
    town.client.put("/v1/templates/BIRTHDAY/fr", json=FRENCH)
    items = town.client.get("/v1/templates").json()["items"]
    in_use = [(item["type"], item["language"], item["version"]) for item in items]
    assert in_use == [
        ("ANNIVERSARY", "default", 1),
        ("BIRTHDAY", "default", 1),
        ("BIRTHDAY", "fr", 2),
        ("HOLIDAY_GREETING", "default", 1),
    ]


@pytest.mark.parametrize(
    ("wrong", "pointer", "detail"),
    [
        ({"body": "{{ fist_name }}"}, "/body", "'fist_name' is not known here"),
        ({"body": "{% if age"}, "/body", "line 1"),
        ({"body": "{% if age %}{{ age }}{% endif %}"}, "/body", "would be empty for some people"),
        ({"body": "x" * 20_001}, "/body", "is longer than 20000 characters"),
        ({"body": "a\0b"}, "/body", "holds a NUL character"),
        ({"subject": " \r\n "}, "/subject", "would be empty for some people"),
        ({"subject": "{% for i in (1..99999) %}x{% endfor %}"}, "/subject", "loop iteration limit"),
        ({"text": "x"}, "/text", "is not a field of this request"),
    ],
)
def test_a_text_that_does_not_render_is_refused_at_its_field(town, wrong, pointer, detail):
    refused = town.client.put("/v1/templates/BIRTHDAY/fr", json=FRENCH | wrong)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == pointer
    assert detail in error["detail"]
    assert town.client.get("/v1/templates/BIRTHDAY/fr").status_code == 404


def test_both_wrong_fields_are_named(town):
    refused = town.client.put("/v1/templates/BIRTHDAY/fr", json={"subject": "{{ a }}", "body": "{{ b }}"})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/subject", "/body"]


def test_a_language_that_is_none_is_refused(town):
    refused = town.client.put("/v1/templates/BIRTHDAY/fran%C3%A7ais", json=FRENCH)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/language"


@pytest.mark.parametrize(
    "path", ["/v1/templates/NOPE/fr", "/v1/templates/BIRTHDAY/fr", "/v1/templates/BIRTHDAY/default?version=9"]
)
def test_a_text_that_is_not_there_is_not_found(town, path):
    assert town.client.get(path).status_code == 404


def test_nobody_edits_without_the_key(town):
    assert town.client.put("/v1/templates/BIRTHDAY/fr", json=FRENCH, headers={"Authorization": "Bearer x"}).status_code == 401
