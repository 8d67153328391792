"""Do the pictures show what the newest results say?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from ops.bench.machine import Machine
from ops.bench.plots import draw
from ops.bench.report import Figure, Result, write

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2027, 3, 1, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"
MACHINE = Machine(system="Linux", processor="one", cores=2, memory_gb=4.0, load=0.1, ninebell="abc", python="3", postgresql="18")


def result(at: datetime, ours: float) -> Result:
    figures = [
        Figure("delivered: Ninebell", "messages/s", [ours]),
        Figure("delivered: <Other> & Sons", "messages/s", [50.0, 40.0, 60.0]),
        Figure("lateness p99: Ninebell", "s", [1.0]),
    ]
    return Result(part="peers", at=at, machine=MACHINE, settings={"messages": 2_000}, figures=figures)


def test_a_bar_is_as_long_as_its_value_in_the_newest_result(tmp_path: Path) -> None:
    write(result(AT, 100.0), tmp_path)
    write(result(AT - timedelta(days=1), 10_000.0), tmp_path)
    drawn = {file.stem: ElementTree.parse(file) for file in draw(tmp_path, tmp_path / "docs")}
    assert drawn.keys() == {"peers-delivered", "peers-lateness"}
    picture = drawn["peers-delivered"]
    paper, ours, other = [float(bar.get("width", "0")) for bar in picture.iter(f"{SVG}rect")]
    assert paper > ours == 2 * other > 0
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"One burst on each system, messages/s", "<Other> & Sons", "100", "50"} <= set(texts)


def test_a_line_goes_where_its_values_go(tmp_path: Path) -> None:
    series = {"api": [(0.0, 20.0), (10.0, 40.0)]}
    told = Result(part="import", at=AT, machine=MACHINE, settings={"people": 5}, figures=[], series=series)
    write(told, tmp_path)
    [file] = draw(tmp_path, tmp_path)
    [line] = ElementTree.parse(file).iter(f"{SVG}polyline")
    (left, lower), (right, upper) = [map(float, point.split(",")) for point in line.get("points", "").split()]
    assert left < right
    assert lower > upper


def test_few_points_are_marked_and_stand_where_they_were_measured(tmp_path: Path) -> None:
    series = {"8 threads": [(1_000_000.0, 50.0), (2_000_000.0, 50.0), (4_000_000.0, 25.0)]}
    told = Result(part="append-stored", at=AT, machine=MACHINE, settings={"stored": "1M"}, figures=[], series=series)
    write(told, tmp_path)
    [file] = draw(tmp_path, tmp_path)
    marks = [(float(mark.get("cx", "0")), float(mark.get("cy", "0"))) for mark in ElementTree.parse(file).iter(f"{SVG}circle")]
    (first, _), (second, high), (last, low) = marks
    assert last - second == pytest.approx(2 * (second - first), abs=0.2)
    assert high < low


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    write(result(AT, 100.0), tmp_path)
    assert [file.read_bytes() for file in draw(tmp_path, tmp_path)] == [file.read_bytes() for file in draw(tmp_path, tmp_path)]
