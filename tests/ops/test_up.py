"""Does what `ninebell up` says to try next work wherever it was called?"""

from pathlib import Path

import pytest

from ops.up import sample_people


@pytest.mark.parametrize("place", [Path(__file__).parents[2], Path(__file__).parents[1], Path("/")])
def test_the_export_to_import_is_named_as_it_is_found_from_there(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.chdir(place)
    assert sample_people().is_file()
