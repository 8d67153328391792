"""Does a proof that was stopped go on where it was, on the same tree only, and can a finished one be asked again?"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.bench.fingerprint import fingerprint_of
from tests.prove.__main__ import Proof, main
from tests.prove.kept import Kept
from tests.prove.telling import Tell

UNITS = ("first", "second", "third")


class Trials:
    """Proves units named after files in a directory, leaving a mark for each; fails while one stands in the way."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, unit: str, tell: Tell | None = None) -> Counter[str]:
        if tell:
            tell(1)
        assert not (self._directory / "in the way").exists() or unit != "second", "it stood in the way"
        with (self._directory / "tried").open("a") as tried:
            tried.write(f"{unit}\n")
        return Counter(cases=10)

    def tried(self) -> list[str]:
        """Since the last time, in whatever order."""
        marks = self._directory / "tried"
        found = marks.read_text().split() if marks.exists() else []
        marks.unlink(missing_ok=True)
        return sorted(found)


def said(found: dict[str, Counter[str]]) -> str:
    return f"{sum(counts['cases'] for counts in found.values())} cases in {len(found)}"


@pytest.mark.parametrize("processes", [1, 2])
def test_it_goes_on_where_it_was_and_begins_anew_when_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], processes: int
) -> None:
    trials = Trials(tmp_path)
    proof = Proof(units=UNITS, hangs_on=("Makefile",), prove=trials, said=said, processes=processes)

    def prove(*arguments: str) -> tuple[int, str]:
        return main(arguments, {"all": proof}, tmp_path / "kept"), "".join(capsys.readouterr())

    (tmp_path / "in the way").touch()
    code, told = prove()
    assert code == 1
    assert "NOT PROVED all: it stood in the way" in told
    before = trials.tried()
    assert "first" in before

    (tmp_path / "in the way").unlink()
    code, told = prove()
    assert code == 0
    assert "proved all: 30 cases in 3" in told
    assert trials.tried() == sorted(set(UNITS) - set(before))

    code, told = prove()
    assert (code, trials.tried()) == (0, [])
    assert "proved all: 30 cases in 3 [kept from before" in told
    assert prove("--afresh")[0] == 0
    assert trials.tried() == sorted(UNITS)


def test_a_line_that_was_being_written_is_proved_again(tmp_path: Path) -> None:
    kept = Kept("all", ["Makefile"], tmp_path)
    kept.add("first", Counter(cases=1))
    kept.add("second", Counter(cases=2))
    kept.file.write_bytes(kept.file.read_bytes()[:-4])
    again = Kept("all", ["Makefile"], tmp_path)
    assert again.counts == {"first": Counter(cases=1)}
    again.add("third", Counter(cases=3))
    assert Kept("all", ["Makefile"], tmp_path).counts == {"first": Counter(cases=1), "third": Counter(cases=3)}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda root: (root / "code" / "deep" / "a.py").write_text("b"), False),
        (lambda root: (root / "code" / "new.py").touch(), False),
        (lambda root: (root / "test_a.py").unlink(), False),
        (lambda root: (root / "other.py").touch(), True),
        (lambda root: (root / "code" / "__pycache__").mkdir() or (root / "code" / "__pycache__" / "a.pyc").touch(), True),
    ],
    ids=["a-changed-file", "a-new-file", "a-file-gone", "another-file", "compiled"],
)
def test_what_was_proved_counts_on_the_same_files_only(tmp_path: Path, change: Callable[[Path], object], same: bool) -> None:
    (tmp_path / "code" / "deep").mkdir(parents=True)
    for name in ("code/deep/a.py", "test_a.py", "README"):
        (tmp_path / name).write_text("a")
    parts = ("code", "test_*.py")
    before = fingerprint_of(parts, "2026f", root=tmp_path)
    change(tmp_path)
    assert (fingerprint_of(parts, "2026f", root=tmp_path) == before) is same
    assert fingerprint_of(parts, "2026g", root=tmp_path) != before
