"""Can a person at the terminal read and write what the message types say?"""

import json

import pytest

from ops.cli import main


@pytest.fixture
def run(migrated_database, monkeypatch, capsys):
    """Runs a command on a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")

    def command(*arguments):
        code = main(["templates", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_a_text_is_set_shown_and_listed(run, tmp_path):
    file = tmp_path / "body.liquid"
    file.write_text("Bonjour {{ first_name }},\n\njoyeux anniversaire !\n", encoding="utf-8")
    code, out, _ = run("set", "BIRTHDAY", "fr", "--subject", "Bon [anniversaire]", "--file", str(file), "--json")
    written = json.loads(out)
    assert (code, written["version"], written["who"]) == (0, 2, "cli")
    assert json.loads(run("show", "BIRTHDAY", "fr", "--json")[1]) == written
    assert "joyeux anniversaire !" in run("show", "BIRTHDAY", "fr")[1]
    assert [one["version"] for one in json.loads(run("list", "--json")[1])] == [1, 1, 2, 1]
    assert "Bon [anniversaire]" in run("list")[1]


def test_the_text_in_code_is_shown_where_no_language_is_said(run):
    code, out, _ = run("show", "BIRTHDAY")
    assert code == 0
    assert "Hey, {{ first_name }} {{ last_name }} it's your birthday" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "BIRTHDAY", "fr", "--subject", "s", "--body", "{{ nom }}"), "body: 'nom' is not known here"),
        (("set", "BIRTHDAY", "français", "--subject", "s", "--body", "b"), "language: is not a language tag"),
        (("set", "NOPE", "fr", "--subject", "s", "--body", "b"), "no message type of this name"),
        (("set", "BIRTHDAY", "fr", "--subject", "s"), "either with --body TEXT or with --file FILE"),
        (("set", "BIRTHDAY", "fr", "--subject", "s", "--file", "/nowhere/at/all"), "can't be read"),
        (("show", "BIRTHDAY", "fr"), "there is no such text"),
        (("show", "BIRTHDAY", "--version", "7"), "there is no such text"),
    ],
)
def test_what_is_wrong_is_one_clear_line(run, arguments, said):
    code, _, err = run(*arguments)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1
