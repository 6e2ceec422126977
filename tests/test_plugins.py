"""Other packages' code is part of the question that uses it, and of no other; a finished run is not overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parents[1]
POOL = '''
"""A pool of somebody's own."""
from harness.aggregators import Aggregator, aggregator
from {helper} import FACTOR


@aggregator("scaled")
class Scaled(Aggregator):
    """A multiple of the largest similarity."""

    def reduce(self, sims):
        return sims.amax(-1)

    def merge(self, own, other):
        return own.maximum(other)

    def finish(self, state):
        return state * FACTOR
'''


@pytest.fixture
def package(tmp_path) -> Path:
    """A distribution as it lies where an installer put it: its code, its metadata and its entry point."""
    place = tmp_path / "elsewhere"
    (place / "scaled_pools").mkdir(parents=True)
    (place / "scaled_pools" / "__init__.py").write_text("")
    (place / "scaled_pools" / "pools.py").write_text(POOL.format(helper="scaled_pools.factors"))
    (place / "scaled_pools" / "factors.py").write_text("FACTOR = 2.0\n")
    about = place / "scaled_pools-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: scaled-pools\nVersion: 1.5\n")
    (about / "entry_points.txt").write_text("[harness.aggregators]\nscaled = scaled_pools.pools:Scaled\n")
    return place


def run(package: Path | None, output: Path, *options: str, pool: str = "maxsim") -> subprocess.CompletedProcess:
    """``harness eval`` in a process of its own, with a package on its path."""
    line = [sys.executable, "-m", "harness.cli", "eval", "--dataset", str(TINY), "--arms", "truncate"]
    line += ["--lengths", "8", "--candidates", "exact", "--measures", "R@1", "--pool", pool]
    line += ["--output", str(output), *options]
    paths = [str(one) for one in (package, ROOT) if one]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)})
    assert done.returncode == 0, done.stderr
    return done


def folders(output: Path) -> set[str]:
    return {path.name for path in output.iterdir()}


def test_an_edited_pool_is_another_question_and_an_unused_one_changes_nothing(package, tmp_path):
    output = tmp_path / "runs"
    run(None, output)
    run(package, output)
    assert len(folders(output)) == 1, "installed and unused, it changes nothing"
    run(package, output, pool="scaled")
    first = folders(output)
    run(package, output, "--resume", pool="scaled")
    assert folders(output) == first and len(first) == 2
    [used] = json.loads(_manifest(output, "scaled"))["plugins"]
    assert used.pop("source") and used == {"kind": "aggregator", "name": "scaled", "module": "scaled_pools.pools",
                                           "distribution": "scaled-pools", "version": "1.5"}  # fmt: skip
    (package / "scaled_pools" / "factors.py").write_text("FACTOR = -1.0\n")
    run(package, output, "--resume", pool="scaled")
    assert len(folders(output)) == 3, "its code decides, in whatever file of the package"
    about = package / "scaled_pools-1.5.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("1.5", "1.6"))
    run(package, output, "--resume", pool="scaled")
    assert len(folders(output)) == 4, "so does its version"


def _manifest(output: Path, pool: str) -> str:
    texts = [path.read_text() for path in output.glob("*/manifest.json")]
    return next(text for text in texts if json.loads(text)["config"]["pool"] == [pool])
