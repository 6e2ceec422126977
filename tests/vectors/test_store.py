"""Vectors on disk: what is encoded again, what is read back, and what an interrupted run leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from harness.errors import DataError
from harness.progress import Stages
from harness.records import Document, MultiVectors
from harness.vectors import shards, store
from tests.conftest import multivectors

DIM = 4


class Fake:
    """One random vector a word, a function of the word alone; batches come shortest text first."""

    def __init__(self, fingerprint="weights", dtype="float32", breaks_at=None):
        self.fingerprint, self.dtype, self.breaks_at = fingerprint, dtype, breaks_at
        self.encoded: list[str] = []

    def recipe(self, role):
        return {"role": role, "dtype": self.dtype}

    def encode(self, items, role):
        texts = [item.text for item in items]
        order = sorted(range(len(texts)), key=lambda at: (len(texts[at]), -at))
        for start in range(0, len(order), 2):
            batch = order[start : start + 2]
            if any(texts[at] == self.breaks_at for at in batch):
                raise RuntimeError("power cut")
            self.encoded += [texts[at] for at in batch]
            yield [(at, vectors_of(texts[at])) for at in batch]


def vectors_of(text):
    rows = [np.random.default_rng(list(word.encode())).standard_normal(DIM) for word in text.split()]
    return np.array(rows, np.float16).reshape(len(rows), DIM)


def documents(count, words=lambda at: 1 + at * 7 % 5):
    return [Document(f"d{at}", " ".join(f"w{at}.{word}" for word in range(words(at)))) for at in range(count)]


def fetch(encoder, items, root, role="document"):
    return store.fetch(encoder, items, role, Stages(show=False), root)


def files(root):
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(store, "SHARD", 3)


def test_a_second_fetch_encodes_and_writes_nothing_and_reads_the_same(tmp_path, small):
    first = fetch(Fake(), documents(8), tmp_path)
    again, written = Fake(), {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = fetch(again, documents(8), tmp_path)
    assert again.encoded == [] and written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert second.ids == first.ids and second.fingerprint == first.fingerprint != ""
    np.testing.assert_array_equal(second.offsets, first.offsets)
    np.testing.assert_array_equal(second.vectors[:], first.vectors[:])


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": Fake(fingerprint="other weights")},
        {"encoder": Fake(dtype="bfloat16")},
        {"items": [*documents(4), Document("d4", "another text")]},
        {"items": [*documents(4), Document("another id", documents(5)[4].text)]},
        {"items": documents(5)[::-1]},
        {"role": "query"},
    ],
    ids=["weights", "recipe", "text", "id", "order", "role"],
)
def test_a_change_of_what_decides_the_vectors_encodes_again(tmp_path, change):
    fetch(Fake(), documents(5), tmp_path)
    asked = {"encoder": Fake(), "items": documents(5), "role": "document", **change}
    got = fetch(asked["encoder"], asked["items"], tmp_path, asked["role"])
    assert sorted(asked["encoder"].encoded) == sorted(item.text for item in asked["items"])
    assert got.ids == [item.id for item in asked["items"]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 10])
def test_items_keep_the_order_given(tmp_path, small, count):
    items = documents(count)
    got = fetch(Fake(), items, tmp_path)
    assert got.ids == [item.id for item in items] and got.vectors.dtype == np.float16 and got.dim == DIM
    for row, item in enumerate(items):
        np.testing.assert_array_equal(got.of(row), vectors_of(item.text))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), words=st.lists(st.integers(1, 6), min_size=1, max_size=14))
def test_shards_read_as_one_array(tmp_path, small, data, words):
    items = documents(len(words), words.__getitem__)
    got, whole = fetch(Fake(), items, tmp_path), np.concatenate([vectors_of(item.text) for item in items])
    assert got.vectors.shape == whole.shape
    ends = st.none() | st.integers(-len(whole) - 2, len(whole) + 2)
    for _ in range(8):
        at = slice(data.draw(ends), data.draw(ends))
        np.testing.assert_array_equal(got.vectors[at], whole[at])
    start = data.draw(st.integers(0, len(whole)))
    assert got.vectors[start:start].shape == (0, DIM)
    picks = np.array(sorted(data.draw(st.lists(st.integers(0, len(whole) - 1)))), np.int64)
    np.testing.assert_array_equal(got.vectors[picks], whole[picks])
    parts = [(start, np.array(part)) for start, part in shards.stream(got)]
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), whole)
    assert [start for start, _ in parts] == [sum(words[:shard]) for shard in range(0, len(words), 3)]


@pytest.mark.parametrize("at", [slice(None, None, 2), slice(None, None, -1)], ids=["every other", "backwards"])
def test_a_step_is_obeyed_or_refused(tmp_path, small, at):
    got, whole = fetch(Fake(), documents(7), tmp_path).vectors, multi(documents(7))
    try:
        read = got[at]
    except (IndexError, ValueError, TypeError, NotImplementedError):
        return
    np.testing.assert_array_equal(read, whole[at])


def multi(items):
    return np.concatenate([vectors_of(item.text) for item in items])


def test_vectors_in_memory_stream_as_one_part():
    held = multivectors([3, 2])
    [(start, part)] = shards.stream(held)
    assert start == 0
    np.testing.assert_array_equal(part, held.vectors)


def test_a_slice_inside_a_shard_is_a_view(tmp_path, small):
    got = fetch(Fake(), documents(7), tmp_path)
    assert not any(got.of(row).flags.owndata for row in range(7))


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, small):
    items = documents(10)
    whole = fetch(Fake(), items, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="power cut"):
        fetch(Fake(breaks_at=items[7].text), items, tmp_path / "cut")
    left = files(tmp_path / "cut")
    assert sorted(left) == ["00000.safetensors", "00001.safetensors"]
    resumed = Fake()
    got = fetch(resumed, items, tmp_path / "cut")
    assert sorted(resumed.encoded) == sorted(item.text for item in items[6:])
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    np.testing.assert_array_equal(got.vectors[:], whole.vectors[:])


class Broken(Fake):
    """Gives some texts other vectors than they should have; None leaves a text out."""

    def __init__(self, **instead):
        super().__init__()
        self.instead = instead

    def encode(self, items, role):
        for batch in super().encode(items, role):
            changed = [(at, self.instead.get(items[at].text, vectors)) for at, vectors in batch]
            yield [(at, vectors) for at, vectors in changed if vectors is not None]


@pytest.mark.parametrize(
    "instead, line",
    [
        (np.array([[0, np.nan, 0, 1]], np.float16), "NaN or infinite in float16"),
        (np.array([[0, -np.inf, 0, 1]], np.float16), "NaN or infinite in float16"),
        (np.array([[0, 1e6, 0, 1]], np.float32), "NaN or infinite in float16"),
        (np.empty((0, DIM), np.float16), "no vector"),
        (None, "no vector"),
    ],
    ids=["nan", "inf", "beyond float16", "empty", "left out"],
)
def test_a_bad_vector_is_refused_by_the_name_of_its_item(tmp_path, small, instead, line):
    items = [Document(name, name.lower()) for name in ("Ant", "Bee", "Cat", "Dog", "Eel")]
    with pytest.raises(DataError) as caught:
        fetch(Broken(dog=instead), items, tmp_path)
    assert line in str(caught.value) and "'Dog'" in str(caught.value)
    assert len(caught.value.problems) == 1 and not any(name in str(caught.value) for name in ("Ant", "Eel"))
    assert sorted(files(tmp_path)) == ["00000.safetensors"]


def test_all_bad_items_of_a_shard_are_reported_together(tmp_path):
    items = [Document(name, name.lower()) for name in ("Ant", "Bee", "Cat")]
    with pytest.raises(DataError) as caught:
        fetch(Broken(ant=None, cat=np.full((1, DIM), np.nan, np.float16)), items, tmp_path)
    assert ["'Ant'" in line for line in caught.value.problems] == [True, False]
    assert ["'Cat'" in line for line in caught.value.problems] == [False, True]


def test_the_files_are_safetensors_and_the_manifest_names_them(tmp_path, small):
    items = documents(7)
    got = fetch(Fake(dtype="bfloat16"), items, tmp_path)
    folder = tmp_path / "vectors" / got.fingerprint
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["items"] == 7 and manifest["recipe"]["dtype"] == "bfloat16"
    assert [shard["file"] for shard in manifest["shards"]] == [f"0000{number}.safetensors" for number in range(3)]
    for number, shard in enumerate(manifest["shards"]):
        part = items[3 * number : 3 * number + 3]
        with safe_open(folder / shard["file"], framework="numpy") as file:
            np.testing.assert_array_equal(file.get_tensor("vectors"), multi(part))
            assert file.get_tensor("counts").tolist() == [len(item.text.split()) for item in part]


def mapped(folder):
    return {line.split("/")[-1] for line in Path("/proc/self/maps").read_text().splitlines() if str(folder) in line}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of what a process has mapped")
def test_a_shard_is_mapped_only_while_someone_looks_at_it(tmp_path, small):
    got, whole = fetch(Fake(), documents(7), tmp_path), multi(documents(7))
    assert mapped(tmp_path) == set()
    held = got.of(6)
    for begin, block in shards.stream(got):
        np.testing.assert_array_equal(block, whole[begin : begin + len(block)])
        assert len(mapped(tmp_path)) <= 3  # the one held, this one, and the one before it
    del block
    assert mapped(tmp_path) == {"00002.safetensors"}
    np.testing.assert_array_equal(held, whole[-len(held) :])


def test_vectors_at_positions_come_from_all_shards(tmp_path, small):
    got, whole = fetch(Fake(), documents(7), tmp_path), multi(documents(7))
    for picks in ([0, len(whole) - 1], [], list(range(0, len(whole), 2))):
        np.testing.assert_array_equal(got.vectors[np.array(picks, np.int64)], whole[picks])


@pytest.mark.parametrize(
    "vectors, offsets",
    [
        (np.zeros((5, 2), np.float32), [0, 2, 5]),
        (np.zeros(5, np.float16), [0, 2, 5]),
        (np.zeros((5, 2), np.float16), [0, 5]),
        (np.zeros((5, 2), np.float16), [0, 2, 3, 5]),
        (np.zeros((5, 2), np.float16), [0, 2, 4]),
        (np.zeros((5, 2), np.float16), [[0, 2, 5]]),
    ],
    ids=["float32", "one axis", "too few offsets", "too many offsets", "patches left over", "two axes"],
)
def test_multivectors_of_the_wrong_shape_are_refused(vectors, offsets):
    with pytest.raises(ValueError, match=r"vectors must be|do not fit"):
        MultiVectors(["a", "b"], vectors, np.array(offsets))
