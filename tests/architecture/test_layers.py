"""Does the code keep to its own rules: who imports whom, who may look at a clock, what is a file for?"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "application", "infrastructure", "projections", "api", "ops")
MODULES = sorted(path for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py"))
PURE = [path for path in MODULES if path.relative_to(ROOT).parts[0] in {"domain", "application", "projections", "api"}]
NAMES_THAT_SAY_NOTHING = re.compile(r"(^|_)(utils?|common|helpers?|manager|base|misc)$")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_each_layer_imports_only_what_stands_below_it() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_file_says_which_question_it_answers(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert len(docstring.splitlines()[0]) <= 130
    assert not NAMES_THAT_SAY_NOTHING.search(path.stem)


@pytest.mark.parametrize("path", PURE, ids=named)
def test_inner_layers_measure_no_time(path: Path) -> None:
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert names.isdisjoint({"monotonic", "monotonic_ns", "perf_counter"})
