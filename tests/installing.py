"""How does a test install a package with message types, as people do, without a registry?"""

import subprocess
import sys
from pathlib import Path
from typing import Final

SAMPLE: Final = Path(__file__).parent / "sample_plugin"


def install(package: Path, target: Path) -> Path:
    """Have pip put the package into `target`, a directory for PYTHONPATH."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(package)], check=True)
    return target


def lay_down(target: Path, name: str, code: str, **entries: str) -> Path:
    """A package of one module as pip would leave it; `entries` are its message types, name and object."""
    module = name.replace("-", "_")
    told = target / f"{module}-1.0.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    listed = "\n".join(f"{entry} = {module}:{thing}" for entry, thing in entries.items())
    (told / "entry_points.txt").write_text(f"[ninebell.message_types]\n{listed}\n")
    (target / f"{module}.py").write_text(code)
    return target
