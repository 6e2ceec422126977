"""Which packages a manifest and a recipe name, whether MKL's mode took effect, and what a manifest says of both."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import harness
from harness import candidates, encoders, packages
from harness.encoders.colpali import ColPali
from harness.encoders.colpali_files import KINDS
from harness.files import digest
from harness.progress import Stages
from harness.scoring import blas
from harness.vectors import store
from tests.candidates.test_candidates import ASKED, named, search
from tests.conftest import documents, multivectors
from tests.encoders.test_checkpoints import both_kinds
from tests.encoders.test_checkpoints import opened as open_folder

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def required() -> list[str]:
    """Every requirement of the program itself and of the extras that compute, as pyproject.toml spells it."""
    extras = PROJECT["optional-dependencies"]
    lines = [
        *PROJECT["dependencies"],
        *(line for name in extras if name not in ("bench", "dev") for line in extras[name]),
    ]
    return sorted({re.match(r"[\w.-]+", line)[0] for line in lines})


def installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.fixture
def upgraded(monkeypatch):
    """Makes one package say another version of itself."""
    real = importlib.metadata.version

    def to(name: str) -> None:
        wanted = packages.normal(name)
        monkeypatch.setattr(
            importlib.metadata, "version", lambda one: "99.9" if packages.normal(one) == wanted else real(one)
        )

    return to


BROUGHT = ["tokenizers", "llvmlite", "pytrec-eval-terrier", "regex"]  # by transformers, numba, ir-measures


@pytest.mark.parametrize("name", [*required(), *BROUGHT])
def test_every_requirement_and_what_it_brings_is_in_the_versions(name, upgraded):
    before = packages.versions()
    assert (packages.normal(name) in before) == installed(name)
    upgraded(name)
    assert (packages.versions() != before) == installed(name)


def test_tools_and_strangers_are_not_in_the_versions():
    found = packages.versions()
    assert not {"pytest", "ruff", "mypy", "harness"} & found.keys()
    assert found["late-interaction-harness"] == harness.__version__ and found["python"]


def test_the_distributions_version_is_the_packages_and_has_one_source():
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]
    build = [sys.executable, "-m", "hatchling", "version"]
    found = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == harness.__version__ and PROJECT["name"] == packages.DISTRIBUTION


def test_a_copied_folder_without_metadata_lists_every_installed_package(tmp_path):
    shutil.copytree(ROOT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import json; from harness import packages; print(json.dumps(packages.versions()))"
    if installed(packages.DISTRIBUTION):  # as if it were not
        code = "from harness import packages; packages.DISTRIBUTION = 'no-such-distribution'; " + code
    made = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert packages.versions().keys() <= found.keys() and "pytest" in found


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return both_kinds(tmp_path_factory.mktemp("checkpoints"))


SHARED = ["torch", "transformers", "tokenizers", "numpy"]
COMPUTED = {
    "colbert": [*SHARED, "colbert-ai"],
    "pylate": SHARED,
    "transformer": SHARED,
    "concepts": ["numpy"],
    "colpali": [*SHARED, "colpali-engine", "peft", "pillow"],
}


def opened(family: str, folders: dict[str, Path]):
    if family in folders:
        return open_folder(folders[family])
    if family == "colpali":  # not opened: its recipe needs no more
        made = object.__new__(ColPali)
        made.kind, made.dtype = KINDS["ColPali"], "float32"
        return made
    return encoders.load({"transformer": "minilm"}.get(family, family), "float32", "cpu")


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in COMPUTED for name in COMPUTED[family]])
def test_an_upgrade_of_what_computes_vectors_is_another_recipe(family, name, folders, upgraded):
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    encoder = opened(family, folders)
    before = [digest(encoder.recipe(role)) for role in ("document", "query")]
    upgraded("scipy")
    assert [digest(encoder.recipe(role)) for role in ("document", "query")] == before
    upgraded(name)
    assert not {digest(encoder.recipe(role)) for role in ("document", "query")} & {*before}


def test_cached_vectors_are_not_those_of_an_earlier_colbert_ai(folders, upgraded, tmp_path):
    def fetched() -> str:
        encoder = open_folder(folders["colbert"])
        return store.fetch(
            encoder, documents(["a fox", "the lazy dog"]), "document", Stages(False), tmp_path
        ).fingerprint

    first = fetched()
    assert fetched() == first
    upgraded("colbert-ai")
    assert fetched() != first


@pytest.mark.parametrize(("source", "name"), [("faiss", "faiss-cpu"), ("bm25", "bm25s"), ("bm25", "PyStemmer")])
def test_an_upgrade_of_what_finds_candidates_searches_again(source, name, upgraded, tmp_path):
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    one = search(named(multivectors([3, 4, 2, 5]), "documents"), named(ASKED, "queries"), tmp_path)
    one = dataclasses.replace(one, dataset=dataclasses.replace(one.dataset, fingerprint="texts"))
    candidates.find(source, one)
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    candidates.find(source, one)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == kept
    upgraded(name)
    candidates.find(source, one)
    new = {path.suffix for path in tmp_path.rglob("*") if path.is_file() and path.name not in kept}
    assert new == ({".npz", ".faiss"} if source == "faiss" else {".npz"})


MODE = """
import torch
{first}
import harness
from harness.scoring import blas
print(blas.mkl_mode(), len(blas.notes()), *blas.notes())
"""
MULTIPLY = "torch.randn(64, 64) @ torch.randn(64, 64)"


@pytest.mark.skipif(not torch.backends.mkl.is_available() or blas.mkl_mode() == "unknown", reason="no MKL here")
@pytest.mark.parametrize(
    ("first", "asked", "says"),
    [
        ("", None, "strict 0"),
        (MULTIPLY, None, "off 1 MKL's reproducible mode is off (MKL had multiplied before harness was imported)"),
        ("", "COMPATIBLE", "not strict 1 MKL's reproducible mode is not strict (MKL_CBWR is 'COMPATIBLE')"),
    ],
)
def test_whether_mkls_mode_took_effect_is_seen(first, asked, says):
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    environment |= {"MKL_CBWR": asked} if asked else {}
    made = subprocess.run(
        [sys.executable, "-c", MODE.format(first=first)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.startswith(says)
