"""Checkpoints that cannot be read as they are: told apart in one line, and pickled weights converted if asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness import encoders
from harness.errors import DataError
from tests.encoders.test_checkpoint_folders import Bomb
from tests.encoders.test_checkpoints import both_kinds, encode, forbid, opened, tiny, write
from tests.encoders.test_encoders import refusal

TEXTS = ["the quick fox", "a lazy dog, watch!"]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n"


@pytest.fixture(autouse=True)
def confined(monkeypatch, tmp_path):
    forbid(monkeypatch)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    plain = root / "transformer"
    write(plain / "model.safetensors", tiny(plain))
    return {**both_kinds(root), "transformer": plain}


@pytest.fixture(params=["transformer", "colbert", "pylate"])
def copy(request, folders, tmp_path) -> Path:
    return Path(shutil.copytree(folders[request.param], tmp_path / request.param))


def pickle(folder: Path) -> None:
    """Every file of safetensors as torch wrote weights before there were any."""
    for path in folder.rglob("model.safetensors"):
        torch.save(load_file(path), path.with_name("pytorch_model.bin"))
        path.unlink()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def convert(folder: Path):
    return encoders.load(str(folder), "float32", "cpu", convert=True)


def test_pickled_weights_are_read_only_if_asked_and_then_converted_into_the_cache(copy, tmp_path):
    expected = encode(opened(copy), TEXTS, "document")
    pickle(copy)
    before = files(copy)
    line = refusal(copy)
    assert "pytorch_model.bin is a pickle" in line and "--convert" in line
    assert not (tmp_path / "cache" / "converted").exists()
    for _ in range(2):
        for vectors, others in zip(encode(convert(copy), TEXTS, "document"), expected, strict=True):
            np.testing.assert_array_equal(vectors, others)
    assert files(copy) == before
    [made] = [path for path in (tmp_path / "cache" / "converted").iterdir() if path.is_dir()]
    assert convert(copy).folder == made and not list(made.rglob("*.bin"))


def test_shards_are_converted_one_by_one(folders, tmp_path):
    folder = Path(shutil.copytree(folders["transformer"], tmp_path / "shards"))
    expected = encode(opened(folder), TEXTS, "document")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"pytorch_model-0000{number % 2 + 1}-of-00002.bin" for number, name in enumerate(weights)}
    for file in set(places.values()):
        torch.save({name: weight for name, weight in weights.items() if places[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert "--convert" in refusal(folder)
    for vectors, others in zip(encode(convert(folder), TEXTS, "document"), expected, strict=True):
        np.testing.assert_array_equal(vectors, others)


@pytest.mark.parametrize("content", ["code", "rubbish", "number"])
def test_a_pickle_that_is_more_than_tensors_is_one_line_and_is_not_run(folders, tmp_path, content):
    folder = Path(shutil.copytree(folders["transformer"], tmp_path / "evil"))
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    if content == "rubbish":
        path.write_bytes(b"damaged")
    else:
        torch.save({"weight": Bomb(folder / "exploded") if content == "code" else 3}, path)
    with pytest.raises(DataError) as caught:
        convert(folder)
    [line] = caught.value.problems
    assert str(path) in line and "cannot be converted" in line and "\n" not in line
    assert not (folder / "exploded").exists()
    assert not [made for made in (tmp_path / "cache" / "converted").iterdir() if made.is_dir()]


def test_what_needs_no_conversion_is_left_alone(copy):
    assert convert(copy).folder == copy


def test_an_earlier_torch_converts_nothing(folders, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(folders["transformer"], tmp_path / "old"))
    pickle(folder)
    monkeypatch.setattr("harness.encoders.converting.version", lambda _: "2.5.1+cpu")
    with pytest.raises(DataError, match=r"install torch 2\.6"):
        convert(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_what_git_lfs_leaves_is_told_apart(copy, name):
    (copy / name).write_text(POINTER)
    line = refusal(copy)
    assert str(copy / name) in line and "Git LFS pointer" in line and "git lfs pull" in line


@pytest.mark.parametrize("branch", [True, False])
def test_the_outer_folder_of_a_hubs_cache_names_the_inner_one(folders, tmp_path, branch):
    outer = tmp_path / "models--org--name"
    inner = outer / "snapshots" / "0123abcd"
    shutil.copytree(folders["transformer"], inner)
    if branch:
        (outer / "refs").mkdir()
        (outer / "refs" / "main").write_text("0123abcd")
    line = refusal(outer)
    assert "hub's cache" in line and line.endswith(str(inner))
    assert encode(opened(inner), TEXTS, "document")


def test_no_tokenizer_and_no_model_are_told_apart(folders, tmp_path):
    folder = Path(shutil.copytree(folders["transformer"], tmp_path / "bare"))
    for path in folder.iterdir():
        if "token" in path.name or path.name == "vocab.txt":
            path.unlink()
    assert "has no tokenizer.json" in refusal(folder)
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)


def test_a_folder_without_any_weights_is_not_called_pickled(folders, tmp_path):
    folder = Path(shutil.copytree(folders["transformer"], tmp_path / "none"))
    (folder / "model.safetensors").unlink()
    line = refusal(folder)
    assert "has no model.safetensors" in line and "pickle" not in line
