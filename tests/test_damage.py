"""A flipped byte in whatever is cached is noticed, told, and mended: what was damaged is made again, and it alone."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil

import numpy as np
import pytest

from harness.candidates import find
from harness.files import checksum, damaged, digest, remembered, sealed
from harness.progress import Stages
from harness.vectors import store
from tests.candidates.test_candidates import ASKED, MANY, named, search
from tests.vectors.test_store import Fake, documents, files, small  # noqa: F401

ITEMS = documents(8)


def fetch(root):
    """(what was encoded, the vectors)."""
    encoder = Fake()
    return encoder.encoded, store.fetch(encoder, ITEMS, "document", Stages(), root)


def flip(path, at, bit=1):
    content = bytearray(path.read_bytes())
    content[at] ^= bit
    path.write_bytes(content)


@pytest.fixture
def cache(tmp_path, small):  # noqa: F811
    """A finished folder of three shards, and its files."""
    fetch(tmp_path)
    [folder] = (tmp_path / "vectors").iterdir()
    return folder, files(tmp_path)


@pytest.mark.parametrize("name", [f"0000{at}.safetensors" for at in range(3)])
def test_a_flipped_byte_anywhere_in_a_shard_makes_that_shard_again(cache, tmp_path, capsys, name):
    folder, before = cache
    mine = [item.text for item in ITEMS[3 * int(name[4]) :][:3]]
    size, drawn = len(before[name]), random.Random(name)
    for at in [0, 8, 30, 45, 60, 100, size - 1, *drawn.sample(range(size), 12)]:
        flip(folder / name, at, 1 << drawn.randrange(8))
        capsys.readouterr()
        encoded, _ = fetch(tmp_path)
        assert sorted(encoded) == sorted(mine) and files(tmp_path) == before
        assert f"{name} is damaged; these {len(mine)} documents are encoded again" in capsys.readouterr().err


def test_a_flipped_byte_in_a_shard_of_an_unfinished_folder_is_noticed_too(cache, tmp_path):
    folder, before = cache
    (folder / "manifest.json").unlink()
    (folder / "00002.safetensors").unlink()
    flip(folder / "00001.safetensors", -5)
    encoded, _ = fetch(tmp_path)
    assert sorted(encoded) == sorted(item.text for item in ITEMS[3:]) and files(tmp_path) == before


@pytest.mark.parametrize("name", ["manifest.json", "ids.json"])
def test_a_flipped_byte_in_a_manifest_encodes_nothing(cache, tmp_path, capsys, name):
    folder, before = cache
    mended = 0
    for at in range(0, len(before[name]), 7):
        flip(folder / name, at)
        capsys.readouterr()
        encoded, got = fetch(tmp_path)
        told = capsys.readouterr().err
        mended += "is damaged; it is made again from the shards" in told
        assert encoded == [] and got.ids == [item.id for item in ITEMS]
        if files(tmp_path) != before:  # a byte that says nothing, such as one between two values
            assert json.loads((folder / name).read_bytes()) == json.loads(before[name])
            (folder / name).write_bytes(before[name])
    assert mended > 0.6 * len(range(0, len(before[name]), 7))


@pytest.mark.parametrize("gone", ["manifest.json", "ids.json", "00001.safetensors"])
def test_a_file_that_went_away_comes_back(cache, tmp_path, gone):
    folder, before = cache
    (folder / gone).unlink()
    encoded, _ = fetch(tmp_path)
    assert len(encoded) == (3 if gone == "00001.safetensors" else 0) and files(tmp_path) == before


def test_two_shards_that_changed_places_are_made_again(cache, tmp_path):
    folder, before = cache
    shutil.move(folder / "00000.safetensors", folder / "x")
    shutil.move(folder / "00001.safetensors", folder / "00000.safetensors")
    shutil.move(folder / "x", folder / "00001.safetensors")
    encoded, _ = fetch(tmp_path)
    assert len(encoded) == 6 and files(tmp_path) == before


def test_a_cache_of_an_earlier_version_is_read_and_its_damage_noticed(cache, tmp_path):
    """Its shards state nothing, its manifest holds sha256 and no digest."""
    folder, _ = cache
    from safetensors.numpy import load_file, save_file

    shards = []
    for path in sorted(folder.glob("*.safetensors")):
        save_file(load_file(path), path)
        shards.append({"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    about = {"format": 1, "items": 8, "recipe": {}, "shards": shards}
    (folder / "manifest.json").write_text(json.dumps(about))
    before = files(tmp_path)
    encoded, whole = fetch(tmp_path)
    assert encoded == [] and files(tmp_path) == before
    whole = np.array(whole.vectors[:])
    flip(folder / "00001.safetensors", -3)
    encoded, got = fetch(tmp_path)
    assert len(encoded) == 3
    np.testing.assert_array_equal(got.vectors[:], whole)
    assert fetch(tmp_path)[0] == []


def searched(root):
    """(rows, files and their bytes) of a search that caches its index and its candidates."""
    vectors, asked = named(MANY, "documents"), named(ASKED, "queries")
    rows = find("faiss", search(vectors, asked, root)).rows
    return rows, files(root)


@pytest.mark.parametrize("kind", ["indexes", "candidates"])
def test_a_flipped_byte_in_an_index_or_in_candidates_is_noticed(tmp_path, monkeypatch, capsys, kind):
    begin = Stages.__init__
    monkeypatch.setattr(Stages, "__init__", lambda self, show=True: begin(self, True))
    rows, before = searched(tmp_path)
    [path] = (tmp_path / kind).iterdir()
    for at in (0, 40, 200, len(before[path.name]) // 2, -21, -1):
        if kind == "indexes":  # else it is not opened
            shutil.rmtree(tmp_path / "candidates")
        flip(path, at)
        capsys.readouterr()
        again, after = searched(tmp_path)
        np.testing.assert_array_equal(again, rows)
        assert after == before and f"{path} is damaged" in capsys.readouterr().err


def test_a_file_that_is_not_sealed_is_taken_as_it_is(tmp_path):
    for content in (b"", b"xx", b"of an earlier version"):
        (tmp_path / "file").write_bytes(content)
        assert not damaged(tmp_path / "file")
    with sealed(tmp_path / "file") as write:
        write(b"one ")
        write(b"piece")
    assert (tmp_path / "file").read_bytes().startswith(b"one piecexxh3") and not damaged(tmp_path / "file")


def test_a_training_state_that_is_damaged_is_not_gone_on_from(tmp_path):
    import torch

    from harness.training import state as train

    state, told = tmp_path / "last.safetensors", []
    assert train.read(state, told.append) is None and told == []
    train.save(state, {"weight.0": torch.arange(6.0)}, [{"epoch": 1}])
    weights, epochs = train.read(state, told.append)
    assert weights["weight.0"].tolist() == list(range(6)) and epochs == [{"epoch": 1}] and told == []
    whole = state.read_bytes()
    for at in (0, 30, len(whole) // 2, -25, -1):
        flip(state, at)
        assert train.read(state, told.append) is None and "is damaged; this training begins anew" in told.pop()
        state.write_bytes(whole)


def test_a_trials_measurements_that_are_damaged_are_measured_again(tmp_path, capsys):
    from harness.commands import synth

    path, found = tmp_path / "measured.json", {"training": [{"epoch": 1, "gini": 0.75}], "lengths": []}
    assert synth.measured(path) is None
    path.write_text(json.dumps({"digest": digest(found), **found}))
    assert synth.measured(path) == found and capsys.readouterr().err == ""
    path.write_text(path.read_text().replace("0.75", "0.74"))
    assert synth.measured(path) is None and "is damaged; the trial is run again" in capsys.readouterr().err


def test_a_large_file_is_summed_once_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    path, summed = tmp_path / "vectors", []
    monkeypatch.setattr("harness.files.checksum", lambda path: summed.append(path) or checksum(path))
    path.write_bytes(b"one")
    assert remembered(path) == remembered(path) == checksum(path) and len(summed) == 2, "it may yet change unseen"
    os.utime(path, (1, 1))
    assert remembered(path) == remembered(path) == checksum(path) and len(summed) == 3
    [kept] = (tmp_path / "cache" / "checksums").iterdir()
    flip(kept, 5)
    assert remembered(path) == checksum(path) and len(summed) == 4
    path.write_bytes(b"two")
    assert remembered(path) == checksum(path) and len(summed) == 5
