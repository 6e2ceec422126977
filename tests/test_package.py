"""The wheel a user installs holds what the program needs, and the README's example is true."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from harness.aggregators import AGGREGATORS
from tests.laws import LAWS

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


def test_the_operator_of_the_readme_obeys_the_laws(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [example] = [block for block in blocks if "@aggregator" in block]
    [name] = re.findall(r'@aggregator\("(\w+)"\)', example)
    (tmp_path / "readme_example.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        importlib.import_module("readme_example")
        for law in LAWS:
            law(AGGREGATORS.make(name))
    finally:
        AGGREGATORS.forget(name)
