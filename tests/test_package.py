"""The wheel a user installs holds what the program needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_carries_the_dataset_cards_and_the_page(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    cards = {f"harness/corpora/cards/{card.name}" for card in (ROOT / "datasets").glob("*.yaml")}
    assert len(cards) > 5 and cards <= names
    page = {f"harness/reports/page/{part.name}" for part in (ROOT / "harness" / "reports" / "page").iterdir()}
    assert len(page) >= 5 and page <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "datasets/")) for name in names)
