"""Is each installed message type held to its promises at the start, and refused by its name if it breaks one?"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from domain.message_type import MessageTypes, registry
from domain.message_types.birthday import BIRTHDAY, Birthday
from ops.message_types import message_types
from ops.plugins import registered, with_plugins
from ops.settings import WrongSettings, read_settings
from tests.installing import SAMPLE, install, lay_down

ROOT = Path(__file__).parents[2]
SOUND = """
from domain.message_types.birthday import Birthday
NAMEDAY = Birthday(name="NAMEDAY")
"""
Installed = Callable[..., None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Puts a package in place of this name, with this code and these types, for this test."""

    def package(name: str, code: str, **entries: str) -> None:
        monkeypatch.syspath_prepend(str(lay_down(tmp_path / name, name, code, **entries)))
        monkeypatch.delitem(sys.modules, name.replace("-", "_"), raising=False)

    return package


def refusal() -> str:
    with pytest.raises(WrongSettings) as refused:
        with_plugins(registry())
    return str(refused.value)


def test_a_type_is_in_use_once_it_is_installed(installed: Installed) -> None:
    installed("nb-sound", SOUND, nameday="NAMEDAY")
    assert with_plugins(registry()).names == ("BIRTHDAY", "ANNIVERSARY", "HOLIDAY_GREETING", "NAMEDAY")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "can't be loaded: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "can't be loaded: SystemExit: 3"),
        ("import a_library_that_is_not_there", "can't be loaded: ModuleNotFoundError"),
        ("", "can't be loaded: AttributeError"),
        ("TYPE = object()", "must have name: upper-case letters"),
        ("from domain.message_types.birthday import Birthday\nTYPE = Birthday(name='Name Day')", "must have name"),
        (
            "from domain.message_types.birthday import Birthday\nTYPE = Birthday(name='X', spread_minutes=90)",
            "must have spread_minutes: 0 to 60",
        ),
        ("from domain.message_types.birthday import Birthday\nTYPE = Birthday(name='X', version=0)", "must have version"),
        (
            "from domain.message_type import Settings\nclass TYPE(Settings, frozen=True):\n  name: str = 'X'",
            "must have occasions: a method",
        ),
        (
            "from domain.message_types.birthday import Birthday\nfrom domain.template import Template\n"
            "class TYPE(Birthday, frozen=True):\n  name: str = 'X'\n  template = Template('s', '{{ nickname }}')",
            "can't be loaded: KeyError: 'nickname'",
        ),
        (
            "from domain.message_types.birthday import Birthday\nfrom domain.template import Template\n"
            "class TYPE(Birthday, frozen=True):\n  name: str = 'X'\n  template = Template('s', '{% if age %}x{% endif %}')",
            "a text in code may have places",
        ),
    ],
)
def test_a_broken_type_is_refused_by_its_name(installed: Installed, code: str, said: str) -> None:
    installed("nb-broken", code, nameday="TYPE")
    assert refusal().startswith("message type plugin nameday of nb-broken 1.0 ")
    assert said in refusal()


def test_two_types_of_one_name_are_refused(installed: Installed) -> None:
    installed("nb-one", SOUND, nameday="NAMEDAY")
    installed("nb-two", SOUND, saints="NAMEDAY")
    assert refusal() == "message type plugin saints of nb-two 1.0 has the name NAMEDAY, and so has nameday of nb-one 1.0"


def test_a_type_with_the_name_of_a_built_in_one_is_refused(installed: Installed) -> None:
    installed("nb-same", "from domain.message_types.birthday import Birthday", birthday="Birthday")
    assert refusal().endswith("has the name BIRTHDAY, and so has Ninebell itself")


def test_every_broken_type_is_named_at_once(installed: Installed) -> None:
    installed("nb-bad", "ONE = 1", first="ONE", second="TWO")
    assert [line.split()[3] for line in refusal().splitlines()] == ["first", "second"]


def test_an_installed_type_is_told_by_the_settings_file(installed: Installed, tmp_path: Path) -> None:
    installed("nb-told", SOUND, nameday="NAMEDAY")
    file = tmp_path / "ninebell.toml"
    file.write_text('[types.NAMEDAY]\nsend_time = "07:15"\nspread_minutes = 30\n')
    told = message_types(read_settings({"NINEBELL_CONFIG": str(file)}))["NAMEDAY"]
    assert (str(told.send_time), told.spread_minutes) == ("07:15:00", 30)


def test_a_broken_type_stops_every_command_with_one_line(tmp_path: Path) -> None:
    plugins = lay_down(tmp_path / "plugins", "nb-broken", "1 / 0", nameday="TYPE")
    environment = {"PATH": os.defpath, "PYTHONPATH": str(plugins), "NINEBELL_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "ops.cli", "simulate", "--people", "tests/data/people-10k.csv"]
    span = ["--from", "2027-01-01", "--to", "2027-01-02", "--out", str(tmp_path / "out.csv")]
    ended = subprocess.run([*command, *span], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "message type plugin nameday of nb-broken 1.0 can't be loaded: ZeroDivisionError: division by zero\n"


class Told(Birthday, frozen=True, kw_only=True):
    """Notes what it is told."""

    notes: list[str]

    def on_register(self) -> None:
        self.notes.append(f"{self.name} in")

    def on_unregister(self) -> None:
        self.notes.append(f"{self.name} out")
        if self.name == "FAILING":
            raise OSError


def test_types_are_told_when_they_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    types = MessageTypes(BIRTHDAY, Told(name="A", notes=notes), Told(name="FAILING", notes=notes))
    with caplog.at_level(logging.ERROR), registered(types):
        assert notes == ["A in", "FAILING in"]
    assert notes[2:] == ["FAILING out", "A out"]
    assert "message type FAILING fails in on_unregister: OSError" in caplog.text


def test_a_type_that_does_not_want_to_be_used_stops_the_start() -> None:
    class Unwilling(Told, frozen=True, kw_only=True):
        def on_register(self) -> None:
            raise ConnectionError("no names today")

    notes: list[str] = []
    types = MessageTypes(Told(name="A", notes=notes), Unwilling(name="B", notes=notes))
    with (
        pytest.raises(WrongSettings, match="message type B fails in on_register: ConnectionError: no names today"),
        registered(types),
    ):
        pass
    assert notes == ["A in", "A out"]


def test_the_sample_package_keeps_its_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(install(SAMPLE, tmp_path / "plugins")))
    assert "WORK_ANNIVERSARY" in with_plugins(MessageTypes(replace(BIRTHDAY, priority=7)))


def test_the_settings_shown_in_the_documentation_are_understood(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "message-types.md").read_text()
    file = tmp_path / "ninebell.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0])
    told = message_types(read_settings({"NINEBELL_CONFIG": str(file)}))["BIRTHDAY"]
    assert (told.spread_minutes, told.leap_day, told.priority, told.doubt) == (30, "mar1", 50, "prefer_no_duplicate")
