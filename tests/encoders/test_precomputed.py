"""Vectors the user computed: what is read from which files, and what a wrong file says."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from pathlib import Path

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import harness
from harness import corpora, encoders
from harness.encoders import precomputed
from harness.errors import DataError, OptionError
from harness.progress import Stages
from harness.records import Document, Query
from harness.vectors import shards, store
from tests.conftest import TINY

DIM = 4
DTYPES = {".npz": ("float16", "float32"), ".safetensors": ("float16", "float32", "bfloat16")}
SUFFIXES = tuple(DTYPES)


def items(counts, dim=DIM, seed=0, prefix="d"):
    """id → float32 (p, d), not of norm 1, exact in float16 and in bfloat16."""
    random = np.random.default_rng(seed)
    drawn = [random.integers(-64, 64, (count, dim)).astype(np.float32) for count in counts]
    return {f"{prefix}{at}": vectors for at, vectors in enumerate(drawn)}


def write(path, held, dtype="float32", table="counts", compress=False, **instead):
    """One file; ``instead`` replaces an entry, None leaves it out."""
    counts = np.array([len(vectors) for vectors in held.values()], np.int64)
    tables = {"counts": counts, "offsets": np.concatenate([[0], np.cumsum(counts)])}
    vectors = torch.from_numpy(np.concatenate(list(held.values()))).to(getattr(torch, dtype))
    entries = {"vectors": vectors, table: tables[table], "ids": np.array(list(held), dtype=str)} | instead
    entries = {name: entry for name, entry in entries.items() if entry is not None}
    if path.suffix == ".npz":
        (np.savez_compressed if compress else np.savez)(path, **entries)
        return path
    ids = entries.pop("ids", None)
    metadata = {} if ids is None else {"ids": ids if isinstance(ids, str) else json.dumps(ids.tolist())}
    save_file({name: torch.as_tensor(entry) for name, entry in entries.items()}, path, metadata)
    return path


def folder(path, documents=None, queries=None, suffix=".npz"):
    path.mkdir(parents=True, exist_ok=True)
    write(path / f"documents{suffix}", documents or items([2, 1, 3]))
    write(path / f"queries{suffix}", queries or items([1, 2], prefix="q"))
    return path


def load(path, dtype="float32"):
    return encoders.load(f"embeddings:{path}", dtype, "cpu")


def read(encoder, ids, role="document"):
    """id → vectors, every index once."""
    record = {"document": Document, "query": Query}[role]
    found = {}
    for batch in encoder.encode([record(name, "any text") for name in ids], role):
        for at, vectors in batch:
            assert vectors.dtype == np.float16 and at not in found
            found[at] = vectors
    assert sorted(found) == list(range(len(ids)))
    return {ids[at]: vectors for at, vectors in found.items()}  # in the order they came


def refusal(path, *ids, role="document"):
    """The lines a folder is refused with, when opened or when the ids are read."""
    with pytest.raises(DataError) as caught:
        read(load(path), list(ids), role)
    assert not any("\n" in line for line in caught.value.problems)
    return caught.value.problems


@st.composite
def parts(draw):
    """Items in one or several files of any kind: [(suffix, dtype, table, compressed, items)]"""
    held = items(draw(st.lists(st.integers(1, 5), min_size=1, max_size=12)), draw(st.integers(1, 6)))
    cuts = {0, len(held), *draw(st.lists(st.integers(1, len(held)), max_size=3))}
    names, made = list(held), []
    for first, last in itertools.pairwise(sorted(cuts)):
        suffix = draw(st.sampled_from(SUFFIXES))
        kinds = (draw(st.sampled_from(DTYPES[suffix])), draw(st.sampled_from(["counts", "offsets"])))
        made.append((suffix, *kinds, draw(st.booleans()), {name: held[name] for name in names[first:last]}))
    return made


@settings(max_examples=40)
@given(made=parts(), data=st.data())
def test_every_item_is_read_from_whatever_file_holds_it_in_file_order(made, data):
    with tempfile.TemporaryDirectory() as place:
        for number, (suffix, dtype, table, compress, held) in enumerate(made):
            name = "documents" if len(made) == 1 else f"documents-{number:05d}"
            write(Path(place, f"{name}{suffix}"), held, dtype, table, compress)
        whole = {name: vectors for *_, held in made for name, vectors in held.items()}
        dim = next(iter(whole.values())).shape[1]
        write(Path(place, "queries.npz"), items([1], dim, prefix="q"))
        asked = data.draw(st.lists(st.sampled_from(sorted(whole)), unique=True))
        got = read(load(place), asked)
        assert list(got) == [name for name in whole if name in asked]
        for name, vectors in got.items():
            np.testing.assert_array_equal(vectors, whole[name])
        recipe = {"role": "document", "dtype": ",".join(sorted({dtype for _, dtype, *_ in made})), "dim": dim}
        assert load(place).recipe("document") == {"family": "precomputed"} | recipe


def test_only_one_file_is_held_open(tmp_path, monkeypatch):
    opened, real = [], precomputed.reader
    monkeypatch.setattr(precomputed, "reader", lambda part: opened.append(part.path.name) or real(part))
    held = items([1] * 6)
    folder(tmp_path)
    (tmp_path / "documents.npz").unlink()
    for number, name in enumerate(held):
        write(tmp_path / f"documents-{number}.npz", {name: held[name]})
    encoder = load(tmp_path)
    assert opened == []
    assert list(read(encoder, list(held)[::-1])) == list(held)
    assert opened == [f"documents-{number}.npz" for number in range(6)]
    read(encoder, ["d5"])
    assert len(opened) == 6 and encoder._open.cache_info().currsize == 1


def test_vectors_are_taken_as_given_whatever_the_dtype_asked_for(tmp_path):
    held = {"d0": np.array([[3, 0, 0, 4], [0, 0, 0, 0], [65504, -65504, 0, 0]], np.float32)}
    one, other = load(folder(tmp_path, held)), load(tmp_path, "bfloat16")
    np.testing.assert_array_equal(read(other, ["d0"])["d0"], held["d0"])
    assert one.recipe("document") == other.recipe("document") and one.fingerprint == other.fingerprint


def test_a_document_and_a_query_of_one_id_and_text_are_two_things(tmp_path):
    documents, queries = items([2], prefix="same"), items([2], seed=1, prefix="same")
    encoder = load(folder(tmp_path / "vectors", documents, queries))
    assert encoder.recipe("document") != encoder.recipe("query")
    for role, held in (("document", documents), ("query", queries)):
        got = store.fetch(encoder, [Document("same0", "text")], role, Stages(show=False), tmp_path / "cache")
        np.testing.assert_array_equal(got.of(0), held["same0"])


def test_the_fingerprint_is_of_the_content_not_the_place(tmp_path):
    one, other, third = (folder(tmp_path / name) for name in ("one", "other", "third"))
    assert load(one).fingerprint == load(other).fingerprint
    write(third / "queries.npz", items([1, 2], seed=1, prefix="q"))
    assert load(third).fingerprint != load(one).fingerprint


def test_a_missing_or_an_empty_folder_is_refused_before_anything_is_opened(tmp_path):
    (tmp_path / "documents.txt").write_text("")
    for name, says in ((tmp_path / "none", "no such folder"), (tmp_path, "neither documents nor queries")):
        for refuse in (encoders.check, lambda name: encoders.load(name, "float32", "cpu")):
            with pytest.raises(OptionError, match=says) as caught:
                refuse(f"embeddings:{name}")
            assert repr(f"embeddings:{name}") in str(caught.value) and "queries.safetensors" in str(caught.value)


def test_a_plain_folder_and_a_home_folder_are_found_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    encoder = load(folder(tmp_path / "vectors"))
    for name in (str(tmp_path / "vectors"), "embeddings:~/vectors"):
        assert encoders.load(name, "float32", "cpu").fingerprint == encoder.fingerprint
    assert (encoder.tokens("a b c d e", "document"), encoder.tokens("", "query")) == ([""] * 3, [""] * 2)


def test_missing_ids_are_counted_and_extra_ones_ignored(tmp_path):
    folder(tmp_path)
    assert list(read(load(tmp_path), ["d2"])) == ["d2"]
    [line] = refusal(tmp_path, "d1", *(f"x{at}" for at in range(5)))
    assert "5 of 6 documents" in line and "'x0', 'x1', 'x2' and 2 more" in line and "d1" not in line


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value, says", [(np.nan, "NaN"), (-np.inf, "NaN"), (65520, "range"), (None, "no vector")])
def test_a_bad_vector_is_refused_by_file_and_id_where_it_is_asked_for(tmp_path, suffix, value, says):
    held = items([2, 1, 3])
    if value is None:
        held["d1"] = held["d1"][:0]
    else:
        held["d1"][0, 2] = value
    folder(tmp_path, held, suffix=suffix)
    assert list(read(load(tmp_path), ["d0", "d2"])) == ["d0", "d2"]
    [line] = refusal(tmp_path, "d0", "d1", "d2")
    assert says in line and str(tmp_path / f"documents{suffix}") in line and "'d1'" in line
    assert "'d0'" not in line and "'d2'" not in line


WRONG = {
    "no vectors": ({"vectors": None}, "has no vectors"),
    "a save to repeat": ({"vectors": None}, "; save "),
    "no ids": ({"ids": None}, "has no ids"),
    "no counts": ({"counts": None}, "has no offsets or counts"),
    "both tables": ({"offsets": np.array([0, 2, 3, 6])}, "both offsets and counts"),
    "whole numbers": ({"vectors": np.zeros((6, DIM), np.int32)}, "vectors are"),
    "three axes": ({"vectors": np.zeros((3, 2, DIM), np.float32), "counts": None}, "has no mask or counts"),
    "counts past the padding": ({"vectors": np.zeros((3, 2, DIM), np.float32)}, "counts must lie between 0 and"),
    "four axes": ({"vectors": np.zeros((3, 2, 1, DIM), np.float32)}, "not (3, 2, 1, 4)"),
    "padded with offsets": (
        {"vectors": np.zeros((3, 3, DIM), np.float32), "counts": None, "offsets": np.array([0, 2, 3, 6])},
        "not offsets",
    ),
    "a mask of another shape": (
        {"vectors": np.zeros((3, 2, DIM), np.float32), "counts": None, "mask": np.ones((3, 3), np.int64)},
        "must be (3, 2)",
    ),
    "an array and a mask": ({"counts": None, "mask": np.ones((3, 2), np.int64)}, "not a mask"),
    "no dimension": ({"vectors": np.zeros((6, 0), "f4")}, "not (6, 0)"),
    "vectors left over": ({"vectors": np.zeros((7, DIM), np.float32)}, "end at vector 6 of 7"),
    "counts below 0": ({"counts": np.array([4, -1, 3])}, "between 0 and"),
    "counts too large": ({"counts": np.array([2**62] * 3)}, "between 0 and"),
    "float counts": ({"counts": np.array([2.0, 1.0, 3.0])}, "whole numbers"),
    "too few counts": ({"counts": np.array([2, 4])}, "3 ids need 3 counts, not 2"),
    "offsets from 1": ({"counts": None, "offsets": np.array([1, 2, 3, 6])}, "begin at 0"),
    "falling offsets": ({"counts": None, "offsets": np.array([0, 3, 2, 6])}, "never fall"),
    "no strings": ({"ids": np.arange(3) + 0.5}, "list of strings"),
    "no list": ({"ids": '{"d0": 0}'}, "list of strings"),
    "duplicate ids": ({"ids": np.array(["d0", "d1", "d0"])}, "already given, in this file or one before it: 'd0'"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("instead, says", WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, suffix, instead, says):
    path = write(folder(tmp_path, suffix=suffix) / f"documents{suffix}", items([2, 1, 3]), **instead)
    [line] = refusal(tmp_path)
    assert str(path) in line and says in line


def laid(vectors: np.ndarray, order: str, kind: str) -> np.ndarray:
    """The same numbers, elsewhere in memory: in rows or columns, every second one of a larger array, or backwards."""
    vectors = vectors.astype(kind)
    if order == "columns":
        return np.asfortranarray(vectors)
    if order == "strided":
        return np.repeat(np.repeat(vectors, 2, axis=0), 3, axis=1)[::2, ::3]
    return vectors[::-1].copy()[::-1] if order == "backwards" else vectors


@settings(max_examples=40)
@given(
    order=st.sampled_from(["rows", "columns", "strided", "backwards"]),
    kind=st.sampled_from(["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]),
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=7),
    whole=st.booleans(),
    shard=st.integers(1, 4),
)
def test_what_is_stored_is_what_numpy_reads(order, kind, counts, whole, shard):
    held = items(counts, dim=3, prefix="" if whole else "d")
    names = np.array(list(held), dtype=np.int64 if whole else str)
    with tempfile.TemporaryDirectory() as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "SHARD", shard)
        path = Path(work)
        vectors = laid(np.concatenate(list(held.values())), order, kind)
        np.savez(path / "documents.npz", vectors=vectors, counts=np.array(counts), ids=names)
        write(path / "queries.npz", items([1], dim=3, prefix="q"))
        encoder, records = load(path), [Document(name, "any text") for name in held]
        stored = store.fetch(encoder, records, "document", Stages(False), path / "cache")
        with np.load(path / "documents.npz") as read_again:
            expected = read_again["vectors"].astype(np.float16)
        np.testing.assert_array_equal(stored.vectors[:], expected)
        np.testing.assert_array_equal(stored.counts, counts)
        assert any("float64" in note for note in encoder.notes) == kind.endswith("8")
        assert any("read as text" in note for note in encoder.notes) == whole


@given(order=st.sampled_from(["rows", "columns", "strided", "backwards"]), kind=st.sampled_from(["<f2", ">f4", "<f8"]))
def test_an_encoder_may_give_vectors_that_lie_anyhow(order, kind):
    held = items([3, 1, 2])
    laid_out = [laid(vectors, order, kind) for vectors in held.values()]
    for some in (laid_out, laid_out[:1]):
        with tempfile.TemporaryDirectory() as work:
            (Path(work) / "shard").write_bytes(store._shard(list(held)[: len(some)], some))
            got = shards.Shard(Path(work) / "shard").vectors
        np.testing.assert_array_equal(got, np.concatenate([vectors.astype(np.float16) for vectors in some]))


@pytest.mark.parametrize(
    "name, says", [("ids", "dtype=str"), ("counts", "pickled"), ("vectors", "harness.save_vectors")]
)
def test_a_pickle_is_never_opened(tmp_path, name, says):
    pickled = np.array(["d0", "d1", "d2"], dtype=object)
    path = write(folder(tmp_path) / "documents.npz", items([2, 1, 3]), **{name: pickled})
    [line] = refusal(tmp_path)
    assert str(path) in line and says in line


@pytest.mark.parametrize("held", [[np.zeros((2, 4)), np.zeros((1, 4))], None])
def test_ragged_arrays_in_one_array_are_a_pickle_too(tmp_path, held):
    """As np.savez(path, vectors=[…]) and np.save(path, […]) write them."""
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros((2, 4)), np.zeros((1, 4))]
    folder(tmp_path)
    (tmp_path / "documents.npz").unlink()
    if held:
        np.savez(tmp_path / "documents.npz", ragged, allow_pickle=True)
    else:
        np.save(tmp_path / "documents.npy", ragged, allow_pickle=True)
    [line] = refusal(tmp_path)
    assert "never opened" in line and "harness.save_vectors" in line


def test_files_that_do_not_fit_each_other_are_named(tmp_path):
    write(folder(tmp_path / "ids") / "documents-1.safetensors", items([1, 1]))
    [line] = refusal(tmp_path / "ids")
    assert str(tmp_path / "ids" / "documents.npz") in line and "'d0', 'd1'" in line
    [line] = refusal(folder(tmp_path / "dim", queries=items([1], DIM + 1, prefix="q")))
    assert all(name in line for name in ("documents.npz", "queries.npz", "5 dimensions", "4;"))
    (tmp_path / "dim" / "documents.npz").write_bytes(b"")
    (tmp_path / "dim" / "queries.npz").unlink()
    first, second = refusal(tmp_path / "dim")
    assert "documents.npz cannot be read" in first and "no vectors of queries" in second and str(tmp_path) in second


@settings(max_examples=50)
@given(suffix=st.sampled_from(SUFFIXES), cut=st.booleans(), data=st.data())
def test_damage_is_a_line_that_names_the_file_and_never_a_traceback(suffix, cut, data):
    with tempfile.TemporaryDirectory() as place:
        path = folder(Path(place), suffix=suffix) / f"documents{suffix}"
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content[:at] if cut else content)
        try:
            got = read(load(place), ["d0", "d1", "d2"])
        except DataError as error:
            assert str(place) in str(error) and all("\n" not in line for line in error.problems)
        else:  # in safetensors, a number of the vectors can change unseen
            assert not cut and {name: len(vectors) for name, vectors in got.items()} == {"d0": 2, "d1": 1, "d2": 3}


@pytest.fixture(scope="module")
def tiny_vectors(tmp_path_factory):
    """Vectors of the tiny corpus, a query's drawn near those of its documents; two files of documents."""
    dataset, random = corpora.load(str(TINY)), np.random.default_rng(0)
    documents = {one.id: random.normal(size=(random.integers(3, 12), 8)).astype("f4") for one in dataset.documents}
    gold = {qrel.query_id: documents[qrel.doc_id] for qrel in dataset.qrels if qrel.relevance > 0}
    queries = {name: 0.7 * held[:3] + random.normal(size=(3, 8)).astype("f4") for name, held in gold.items()}
    path, names = tmp_path_factory.mktemp("tiny"), list(documents)
    write(path / "documents-00000.safetensors", {name: documents[name] for name in names[20:]})
    write(path / "documents-00001.npz", {name: documents[name] for name in names[:20]}, table="offsets")
    write(path / "queries.safetensors", queries | {"extra": queries[next(iter(queries))]})
    return path, documents, queries


def test_eval_ranks_as_numpy_does(tiny_vectors, tmp_path):
    path, documents, queries = tiny_vectors
    run = harness.evaluate(
        dataset=str(TINY),
        checkpoint=f"embeddings:{path}",
        candidates="exact",
        pool="maxsim",
        lengths=[64],
        arms="truncate",
        measures="nDCG@10",
        output=tmp_path,
    )
    packed = run.path / "rankings" / "truncate" / "maxsim" / "L64.trec.gz"
    ranking = list(ir_measures.read_trec_run(gzip.decompress(packed.read_bytes()).decode()))
    scored = {}
    for name, tokens in queries.items():
        tokens = tokens.astype(np.float16).astype(float)
        patches = {one: held.astype(np.float16).astype(float) for one, held in documents.items()}
        scored[name] = {one: float((tokens @ held.T).max(1).sum()) for one, held in patches.items()}
        got = {row.doc_id: row.score for row in ranking if row.query_id == name}
        assert list(got) == sorted(scored[name], key=scored[name].get, reverse=True)
        np.testing.assert_allclose(list(got.values()), [scored[name][one] for one in got], rtol=1e-5)
    figure = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], corpora.load(str(TINY)).qrels, scored)
    assert list(run.summary["value"]) == pytest.approx(list(figure.values())) and 0.2 < run.summary["value"][0] < 1


def test_stress_explains_a_query_without_tokens(tiny_vectors, tmp_path):
    path, _, queries = tiny_vectors
    name = next(iter(queries))
    run = harness.stress(
        dataset=str(TINY),
        checkpoint=f"embeddings:{path}",
        candidates="exact",
        inject="hard",
        counts="0,5",
        explain=name,
        output=tmp_path,
    )
    assert len(run.explained) == 3 and set(run.explained["token"]) == set(run.explained["before_text"]) == {""}
