"""Does a measurement that was stopped go on where it was, and is one that was finished made afresh?"""

from pathlib import Path

import pytest

from ops.bench import kept

SETTINGS = {"messages": 5}


class Stopped(Exception):
    """As by the person who waits."""


class Measurement:
    """Numbers its runs; is stopped in one of them."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.stopped_in: int | None = None

    def __call__(self, run: int) -> dict[tuple[str, str], float]:
        if run == self.stopped_in:
            raise Stopped
        self.made.append(run)
        return {("speed", "1/s"): run + 0.5}


@pytest.fixture
def measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measurement:
    """Stopped in its third run."""
    monkeypatch.setattr(kept, "HOME", tmp_path)
    stopped = Measurement()
    stopped.stopped_in = 2
    with pytest.raises(Stopped):
        kept.repeated("part", SETTINGS, 3, stopped)
    assert stopped.made == [0, 1]
    return Measurement()


def test_what_was_made_is_taken_as_it_is(measurement: Measurement) -> None:
    found = kept.repeated("part", SETTINGS, 3, measurement)
    assert measurement.made == [2]
    assert [run["speed", "1/s"] for run in found] == [0.5, 1.5, 2.5]


def test_a_finished_one_is_made_afresh(measurement: Measurement) -> None:
    kept.repeated("part", SETTINGS, 3, measurement)
    kept.repeated("part", SETTINGS, 3, measurement)
    assert measurement.made == [2, 0, 1, 2]


def test_other_settings_are_another_measurement(measurement: Measurement) -> None:
    kept.repeated("part", {"messages": 6}, 3, measurement)
    assert measurement.made == [0, 1, 2]


def test_other_code_is_another_measurement(measurement: Measurement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "CODE", ("domain/user.py",))
    kept.repeated("part", SETTINGS, 3, measurement)
    assert measurement.made == [0, 1, 2]


def test_a_run_whose_writing_was_cut_off_is_made_again(measurement: Measurement, tmp_path: Path) -> None:
    [file] = tmp_path.rglob("run 2.json")
    file.rename(file.with_suffix(".part"))
    kept.repeated("part", SETTINGS, 3, measurement)
    assert measurement.made == [1, 2]
