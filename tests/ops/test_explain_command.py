"""Does the command say why, and refuse what can't be asked?"""

import json

import pytest

from ops.cli import main


@pytest.fixture
def run(migrated_database, monkeypatch, capsys, tmp_path):
    """Runs explain about people of a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    (tmp_path / "people.csv").write_text("external_id,first_name,email,timezone,birthday\np1,Pia,pia@example.org,Etc/UTC,\n")
    assert main(["import", str(tmp_path / "people.csv")]) == 0

    def command(*arguments):
        capsys.readouterr()
        code = main(["explain", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_why_not_is_one_sentence_for_a_person_and_a_code_for_a_script(run):
    code, out, _ = run("p1", "--type", "BIRTHDAY", "--year", "2199")
    assert (code, out.splitlines()[0].endswith("BIRTHDAY in 2199: 0 sent")) == (0, True)
    assert "No birthday is known." in out
    code, out, _ = run("p1", "--type", "BIRTHDAY", "--year", "2199", "--json")
    found = json.loads(out)
    assert (code, found["got"], [one["code"] for one in found["because"]]) == (0, 0, ["no_fact"])
    assert "PATCH" in found["because"][0]["helps"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("p1", "--type", "BIRTHDAY"), "--type and --year go together"),
        (("p1", "--year", "2027"), "--type and --year go together"),
        (("p1", "--type", "BIRTHDAY", "--year", "0"), "year"),
        (("p1", "--type", "BIRTHDAY", "--year", "90210"), "year"),
        (("p2", "--type", "BIRTHDAY", "--year", "2027"), "no user has this ID"),
    ],
)
def test_what_can_not_be_asked_is_wrong_usage(run, arguments, said):
    code, _, err = run(*arguments)
    assert (code, said in err) == (2, True), err
