"""Vectors as people save them: whatever the form, every id reads back its own array; and the library's own writer."""

from __future__ import annotations

import csv
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import harness
from harness import encoders
from harness.encoders.tables import HEADERS, KINDS, NAMES, plain
from harness.errors import DataError, OptionError
from harness.progress import Stages
from harness.records import Document
from harness.vectors import store
from tests.encoders.test_precomputed import DIM, items, load, read, write

ANY = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
NUMBERS = st.integers(0, 10**12).map(str)
DTYPES = ["float16", "float32", "float64"]


@st.composite
def collections(draw, ids=ANY):
    """id → float32 (p, d), exact in float16."""
    names = draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    counts = draw(st.lists(st.integers(1, 4), min_size=len(names), max_size=len(names)))
    return dict(zip(names, items(counts, draw(st.integers(1, 5))).values(), strict=True))


def stacked(held, holes, seed=0):
    """Padded (n, p, d) with noise as padding, and its mask (n, p), which may have holes."""
    random, dim = np.random.default_rng(seed), next(iter(held.values())).shape[1]
    most = max(map(len, held.values())) + holes
    vectors = random.standard_normal((len(held), most, dim)).astype(np.float32)
    mask = np.zeros((len(held), most), bool)
    for at, one in enumerate(held.values()):
        slots = np.sort(random.permutation(most)[: len(one)]) if holes else np.arange(len(one))
        vectors[at, slots], mask[at, slots] = one, True
    return vectors, mask


def tables(held):
    counts = np.array([len(one) for one in held.values()], np.int32)
    return {"counts": counts, "offsets": np.concatenate([[0], np.cumsum(counts)])}


def flat(held, draw, dtype):
    kind = draw(st.sampled_from(["counts", "offsets"]))
    return {"vectors": np.concatenate(list(held.values())).astype(dtype), kind: tables(held)[kind]}


def padded(held, draw, dtype):
    by_count = draw(st.booleans())
    vectors, mask = stacked(held, 0 if by_count else draw(st.integers(0, 3)))
    if by_count:
        return {"vectors": vectors.astype(dtype), "counts": mask.sum(1)}
    return {"vectors": vectors.astype(dtype), "mask": mask.astype(draw(st.sampled_from(["?", "i8"])))}


def renamed(arrays, draw):
    """The same arrays under names that people give them, upper case and hyphens among them."""
    change = draw(st.sampled_from([str, str.upper, lambda name: name.replace("_", "-")]))
    return {change(draw(st.sampled_from(NAMES[kind]))): array for kind, array in arrays.items()}


def save(path, arrays, ids=None):
    """One file of arrays; ids inside it, if given."""
    if path.suffix == ".npz":
        np.savez(path, **arrays, **({} if ids is None else ids))
        return
    about = {} if ids is None else {name: json.dumps(one.tolist()) for name, one in ids.items()}
    save_file({name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in arrays.items()}, path, about)


def write_ids(folder, held, draw):
    """Beside the file, under one of the names that are found."""
    suffix = draw(st.sampled_from(["txt", "json", "csv", "npy"]))
    stem = draw(st.sampled_from(["documents.ids", "documents_ids", "ids", "doc_ids", "documents-doc_ids"]))
    path, names = folder / f"{stem}.{suffix}", list(held)
    if suffix == "npy":
        np.save(path, np.array(names, dtype=str))
    elif suffix == "json":
        path.write_text(json.dumps(names if draw(st.booleans()) else {name: at for at, name in enumerate(names)}))
    elif suffix == "txt":
        path.write_bytes("\n".join([*names, *([""] if draw(st.booleans()) else [])]).encode())
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            header = draw(st.booleans()) or plain(names[0]) in HEADERS
            rows = [[at, name] if header else [name] for at, name in enumerate(names)]
            csv.writer(file).writerows([["row", "doc_id"]] * header + rows)


def check(folder, held):
    """Every id reads back its own array, alone and together, in the order of the file."""
    write(folder / "queries.npz", items([1], next(iter(held.values())).shape[1], prefix="q"))
    encoder = load(folder)
    for asked in (list(held), list(held)[::-2]):
        got = read(encoder, asked)
        assert list(got) == [name for name in held if name in asked]
        for name in asked:
            np.testing.assert_array_equal(got[name], held[name])


@settings(max_examples=60)
@given(
    held=collections() | collections(NUMBERS),
    suffix=st.sampled_from([".npz", ".safetensors"]),
    form=st.sampled_from([flat, padded]),
    dtype=st.sampled_from(DTYPES),
    data=st.data(),
)
def test_one_array_of_all_items_reads_back_under_whatever_names(held, suffix, form, dtype, data):
    with tempfile.TemporaryDirectory() as place:
        folder, names = Path(place), list(held)
        whole = all(name.isascii() and name.isdigit() and str(int(name)) == name for name in names) and data.draw(
            st.booleans()
        )
        ids = np.array(names, dtype=np.int64 if whole and data.draw(st.booleans()) else str)
        inside = data.draw(st.booleans())
        arrays = renamed(form(held, data.draw, dtype), data.draw)
        save(folder / f"documents{suffix}", arrays, {data.draw(st.sampled_from(NAMES["ids"])): ids} if inside else None)
        if not inside:
            write_ids(folder, held, data.draw)
        check(folder, held)


@settings(max_examples=40)
@given(held=collections(), form=st.sampled_from([flat, padded]), dtype=st.sampled_from(DTYPES), data=st.data())
def test_a_plain_array_reads_back_with_the_tables_beside_it(held, form, dtype, data):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for kind, array in form(held, data.draw, dtype).items():
            if kind == "vectors":
                np.save(folder / "documents.npy", array)
            elif array.ndim == 1 and data.draw(st.booleans()):
                (folder / f"documents.{kind}.json").write_text(json.dumps(array.tolist()))
            else:
                np.save(folder / f"documents_{data.draw(st.sampled_from(NAMES[kind]))}.npy", array)
        write_ids(folder, held, data.draw)
        check(folder, held)


@settings(max_examples=40)
@given(
    held=collections(ANY.filter(lambda name: plain(name) not in KINDS)),
    suffix=st.sampled_from([".npz", ".safetensors"]),
    dtypes=st.lists(st.sampled_from(DTYPES), min_size=6, max_size=6),
)
def test_a_dictionary_of_arrays_reads_back_by_id(held, suffix, dtypes):
    with tempfile.TemporaryDirectory() as place:
        arrays = {name: one.astype(dtype) for (name, one), dtype in zip(held.items(), dtypes, strict=False)}
        path = Path(place) / f"documents{suffix}"
        if suffix == ".npz":  # some ids are no keyword, such as file
            with zipfile.ZipFile(path, "w") as archive:
                for name, one in arrays.items():
                    with archive.open(f"{name}.npy", "w") as file:
                        np.lib.format.write_array(file, one)
        else:
            save(path, arrays)
            with safe_open(path, framework="np") as file:
                held = {name: held[name] for name in [*file.keys()]}  # it orders tensors by itself
        check(Path(place), held)


@settings(max_examples=40)
@given(held=collections(), where=st.sampled_from(["inside", "beside", "nowhere"]), data=st.data())
def test_a_list_of_arrays_reads_back_in_order(held, where, data):
    """np.savez(path, *arrays), eleven and more too: arr_10 comes after arr_9."""
    if data.draw(st.booleans()):
        held = items([1 + at % 3 for at in range(12)])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ids = {"ids": np.array(list(held), dtype=str)} if where == "inside" else {}
        np.savez(folder / "documents.npz", *held.values(), **ids)
        if where == "beside":
            write_ids(folder, held, data.draw)
        if where != "nowhere":
            check(folder, held)
            return
        write(folder / "queries.npz", items([1], next(iter(held.values())).shape[1], prefix="q"))
        encoder, records = load(folder), [Document(name, "any text") for name in held]
        for _ in range(2):  # from the encoder, then from the cache
            got = store.fetch(encoder, records, "document", Stages(False), folder / "cache")
            np.testing.assert_array_equal(got.vectors[:], np.concatenate(list(held.values())))
        [note] = encoder.notes
        assert "without ids taken for the dataset's documents in order" in note and repr(next(iter(held))) in note
        with pytest.raises(DataError, match=r"arrays without ids for .* documents of the dataset; write ids"):
            store.fetch(load(folder), [*records, Document("one more", "")], "document", Stages(False), folder / "cache")


@settings(max_examples=40)
@given(held=collections(), kind=st.sampled_from([*DTYPES, "bfloat16", "torch.float32"]))
def test_what_the_library_saves_reads_back(held, kind):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "new" / "folder"
        arrays = [
            torch.from_numpy(one).to(getattr(torch, kind.removeprefix("torch."))).requires_grad_()
            if kind.startswith(("b", "t"))
            else one.astype(kind)
            for one in held.values()
        ]
        path = harness.save_vectors(folder, list(held), arrays)
        assert path == folder / "documents.safetensors"
        check(folder, held)


def test_the_writer_refuses_what_would_be_lost_or_could_not_be_read(tmp_path):
    one, other = np.zeros((2, DIM), np.float32), np.ones((1, DIM), np.float32)
    harness.save_vectors(tmp_path, [1, 2], [one, other])
    harness.save_vectors(tmp_path, ["q"], [one], "query")
    with pytest.raises(OptionError, match="is there already; give overwrite=True"):
        harness.save_vectors(tmp_path, [1, 2], [other, other])
    assert encoders.load(f"embeddings:{tmp_path}", "float32", "cpu").rows["document"] == {"1": 0, "2": 1}
    harness.save_vectors(tmp_path, [1, 2], [other, other], overwrite=True)
    np.testing.assert_array_equal(read(load(tmp_path), ["1"])["1"], other)
    for ids, arrays, role, says in (
        (["a"], [one, other], "document", "1 ids, 1 of them different, for 2 arrays"),
        (["a", "a"], [one, other], "document", "2 ids, 1 of them different"),
        (["a"], [one[0]], "document", "the shape"),
        (["a"], [one.astype(int)], "document", "no array of floats"),
        (["a", "b"], [one, np.zeros((1, 2), "f4")], "document", "2, 4 dimensions"),
        ([], [], "document", "no dimensions"),
        (["a"], [one], "passage", "must be document or query"),
    ):
        with pytest.raises(OptionError, match=says):
            harness.save_vectors(tmp_path / "other", ids, arrays, role)
    assert not (tmp_path / "other").exists()


def test_an_edited_table_beside_the_vectors_is_another_question(tmp_path):
    np.save(tmp_path / "documents.npy", np.zeros((2, 3, DIM), np.float32))
    np.save(tmp_path / "documents.mask.npy", np.ones((2, 3), bool))
    (tmp_path / "documents.ids.txt").write_text("a\nb\n")
    write(tmp_path / "queries.npz", items([1], prefix="q"))
    first = load(tmp_path).fingerprint
    (tmp_path / "documents.ids.txt").write_text("b\na\n")
    assert load(tmp_path).fingerprint != first


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("documents.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4',(\n"),  # numpy's own reader breaks on it
        ("documents.ids.csv", b""),
        ("documents.ids.csv", b'id,x\n"a'),
        ("documents.ids.json", b"[" * 10_000),
        ("documents.ids.txt", b"\xff"),
        ("documents.mask.npy", b""),
    ],
)
def test_a_damaged_file_or_table_is_one_line_that_names_it(tmp_path, name, content):
    np.save(tmp_path / "documents.npy", np.zeros((2, 3, DIM), np.float32))
    np.save(tmp_path / "documents.mask.npy", np.ones((2, 3), bool))
    (tmp_path / name).write_bytes(content)
    write(tmp_path / "queries.npz", items([1], prefix="q"))
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    [line] = caught.value.problems
    assert str(tmp_path / name) in line or "ids for" in line or "ids, not" in line
