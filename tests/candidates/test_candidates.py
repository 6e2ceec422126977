"""Candidates against loops: which documents are found, in which order, and what is built only once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness import corpora
from harness.candidates import Search, faiss_index, find
from harness.candidates.faiss import index_spec
from harness.errors import DataError, OptionError
from harness.progress import Stages
from harness.records import Dataset, Document, MultiVectors, Qrel, Query
from harness.statistics import measures
from tests.conftest import multivectors

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay", "kiwi", "lynx"]
TEXT = "sparrows eat seeds"
RANKED = ["faiss", "pooled", "bm25"]
SEARCHED = [*RANKED, "exact"]  # ranking reads what was searched elsewhere


def dataset(documents, queries, qrels=()):
    """Texts by id; without judgments each query has the first document as its relevant one."""
    qrels = qrels or [Qrel(query, next(iter(documents)), 1) for query in queries]
    return Dataset(
        "hand",
        "test",
        [Document(*item) for item in documents.items()],
        [Query(*item) for item in queries.items()],
        qrels,
        "",
    )


def search(documents, queries, root, depth=5, index="auto", held=None):
    """Over vectors; every text is the same few words, so that BM25 finds every document too."""
    held = held or dataset(dict.fromkeys(documents.ids, TEXT), dict.fromkeys(queries.ids, TEXT))
    return Search(held, documents, queries, depth, index, Stages(show=False), root)


def of_text(documents, queries, root, depth=5, qrels=()):
    held = dataset(documents, queries, qrels)
    vectors, asked = (multivectors([1] * len(items)) for items in (documents, queries))
    return search(dataclasses.replace(vectors, ids=list(documents)), asked, root, depth, held=held)


def clustered(counts, dim=16, centres=40, seed=0, prefix="d"):
    """Unit patches around few centres."""
    base = multivectors(counts, dim, seed, prefix)
    random = np.random.default_rng(seed + 1)
    means = np.random.default_rng(99).standard_normal((centres, dim))
    vectors = means[random.integers(0, centres, len(base.vectors))] + 0.7 * np.asarray(base.vectors, float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return dataclasses.replace(base, vectors=vectors.astype(np.float16))


def named(vectors, fingerprint):
    return dataclasses.replace(vectors, fingerprint=fingerprint)


DOCUMENTS = multivectors([7, 1, 30, 12, 5, 22, 9, 3, 17, 11])
QUERIES = multivectors([4, 1, 9], seed=1, prefix="q")
MANY = clustered([20] * 150)
ASKED = clustered([8] * 10, seed=5, prefix="q")


def test_exact_holds_every_document(tmp_path):
    found = find("exact", search(DOCUMENTS, QUERIES, tmp_path, depth=2))
    assert found.rows.tolist() == [list(range(10))] * 3
    assert not found.ranked and found.source == "exact" and found.recall == 1


def approximate_maxsim(documents, queries, query, per_token):
    """Score of every found document: a token's best patch among its nearest ones, less the weakest of those."""
    scores: dict[int, float] = {}
    for token in queries.of(query).astype(np.float64):
        patches = [
            (float(token @ patch.astype(np.float64)), row)
            for row in range(len(documents))
            for patch in documents.of(row)
        ]
        nearest = sorted(patches, reverse=True)[:per_token]
        for row in {row for _, row in nearest}:
            gain = max(sim for sim, owner in nearest if owner == row) - nearest[-1][0]
            scores[row] = scores.get(row, 0.0) + gain
    return scores


@pytest.mark.parametrize("per_token", [1, 6, 40, 256])
@pytest.mark.parametrize("depth", [3, 10])
def test_faiss_ranks_as_the_rule_says(tmp_path, monkeypatch, per_token, depth):
    monkeypatch.setattr("harness.candidates.faiss.PER_TOKEN", per_token)
    found = find("faiss", search(DOCUMENTS, QUERIES, tmp_path, depth))
    assert found.source == "faiss Flat" and found.ranked and found.rows.shape == (3, depth)
    for query in range(3):
        scores = approximate_maxsim(DOCUMENTS, QUERIES, query, per_token)
        expected = sorted(scores, key=lambda row: (-round(scores[row], 5), -row))[:depth]  # ties: the greatest id
        assert found.rows[query].tolist() == expected + [-1] * (depth - len(expected))


def test_faiss_with_all_patches_ranks_as_maxsim(tmp_path):
    found = find("faiss", search(DOCUMENTS, QUERIES, tmp_path, depth=10))
    for query in range(3):
        tokens = QUERIES.of(query).astype(float)
        maxsim = [(tokens @ DOCUMENTS.of(row).astype(float).T).max(axis=1).sum() for row in range(10)]
        assert found.rows[query].tolist() == np.argsort(-np.array(maxsim)).tolist()


@pytest.mark.parametrize(
    "exact, small, spec",
    [
        (117, 1 << 20, "Flat"),
        (116, 1 << 20, "IVF8,SQ8"),
        (116, 117 * 16, "IVF8,SQ8"),
        (116, 117 * 16 - 1, "disk:IVF8,PQ16"),
    ],
)
def test_the_index_follows_from_the_size_of_the_corpus(tmp_path, monkeypatch, exact, small, spec):
    monkeypatch.setattr(faiss_index, "EXACT_BELOW", exact)
    monkeypatch.setattr(faiss_index, "MOST", small)
    assert DOCUMENTS.vectors.shape == (117, 16)
    assert index_spec(search(DOCUMENTS, QUERIES, tmp_path)) == spec
    assert index_spec(search(DOCUMENTS, QUERIES, tmp_path, index="HNSW16")) == "HNSW16"


@pytest.mark.parametrize(
    "asked, spec",
    [
        ("flat", "Flat"),
        ("ivf-sq", "IVF4096,SQ8"),
        ("ivf-pq", "IVF4096,PQ64"),
        ("disk", "disk:IVF4096,SQ8"),
        ("disk:ivf-pq", "disk:IVF4096,PQ64"),
        ("disk:IVF8,Flat", "disk:IVF8,Flat"),
        ("auto", "IVF4096,SQ8"),
    ],
)
def test_a_kind_of_index_grows_with_the_corpus(asked, spec):
    assert faiss_index.resolve(asked, 200_000 * 64, 128) == spec


def test_auto_never_holds_more_codes_in_memory_than_its_bound():
    kinds = [faiss_index.resolve("auto", patches, 128).split(",")[-1:] for patches in (1 << 24, 1 << 26, 1 << 28)]
    assert kinds == [["SQ8"], ["PQ64"], ["PQ64"]]
    assert [faiss_index.resolve("auto", patches, 128).startswith("disk:") for patches in (1 << 26, 1 << 28)] == [
        False,
        True,
    ]


@pytest.mark.parametrize("index", ["disk:IVF64,SQ8", "disk:PCA16,IVF64,SQ8"])
def test_an_index_on_disk_finds_what_the_one_in_memory_finds(tmp_path, monkeypatch, index):
    monkeypatch.setattr(faiss_index, "BLOCK", 20_000)  # of codes: the lists of several blocks are merged
    monkeypatch.setattr(faiss_index, "ADD", 500)
    documents, queries = named(MANY, "documents"), named(ASKED, "queries")
    held = find("faiss", search(documents, queries, tmp_path / "memory", 9, index.removeprefix("disk:")))
    found = find("faiss", search(documents, queries, tmp_path, 9, index))
    np.testing.assert_array_equal(found.rows, held.rows)
    [lists] = tmp_path.rglob("indexes/*.lists")
    assert len(list(lists.parent.iterdir())) == 2 and lists.stat().st_size >= 3000 * (16 + 8)
    tmp_path.joinpath("moved").mkdir()
    lists.parent.rename(tmp_path / "moved" / "indexes")
    refuse(monkeypatch, "_build")
    deeper = find("faiss", search(documents, queries, tmp_path / "moved", 12, index))
    np.testing.assert_array_equal(deeper.rows[:, :9], held.rows)


def test_an_index_whose_lists_are_damaged_or_gone_is_built_again(tmp_path):
    documents, queries = named(MANY, "documents"), named(ASKED, "queries")
    rows = find("faiss", search(documents, queries, tmp_path, 9, "disk:IVF64,SQ8")).rows
    for spoil in (lambda lists: lists.write_bytes(bytes(lists.stat().st_size)), lambda lists: lists.unlink()):
        [lists] = tmp_path.rglob("*.lists")
        spoil(lists)
        for path in tmp_path.rglob("*.npz"):
            path.unlink()
        np.testing.assert_array_equal(
            find("faiss", search(documents, queries, tmp_path, 9, "disk:IVF64,SQ8")).rows, rows
        )


def test_an_index_without_lists_is_not_for_a_disk(tmp_path):
    with pytest.raises(OptionError, match="no inverted lists to lie on disk"):
        find("faiss", search(named(DOCUMENTS, "documents"), QUERIES, tmp_path, index="disk:Flat"))


def test_pooled_ranks_the_same_a_query_at_a_time(tmp_path, monkeypatch):
    whole = find("pooled", search(MANY, ASKED, tmp_path, 9)).rows
    monkeypatch.setattr("harness.candidates.pooled.SCORES", 1)
    np.testing.assert_array_equal(find("pooled", search(MANY, ASKED, tmp_path, 9)).rows, whole)


def overlap(found, exact):
    """Mean share of the exact candidates that were found."""
    return np.mean([len(set(one) & set(other) - {-1}) / len(other) for one, other in zip(found, exact, strict=True)])


@pytest.mark.parametrize("index", ["IVF64,SQ8", "IVF64,Flat", "RR16,IVF64,Flat", "PCA16,IVF64,SQ8", "IVF16,PQ16"])
def test_an_approximate_index_finds_nearly_what_the_flat_one_finds(tmp_path, index):
    exact = find("faiss", search(MANY, ASKED, tmp_path, 20, "Flat"))
    found = find("faiss", search(MANY, ASKED, tmp_path, 20, index))
    assert found.source == f"faiss {index}"
    assert overlap(found.rows, exact.rows) > 0.9


def refuse(monkeypatch, name):
    def fail(*_, **__):
        raise AssertionError("built again, or opened")

    monkeypatch.setattr(faiss_index, name, fail)


@pytest.mark.parametrize("index", ["Flat", "IVF64,SQ8"])
def test_an_index_is_built_once(tmp_path, monkeypatch, index):
    documents, queries = named(MANY, "documents"), named(ASKED, "queries")
    fresh = find("faiss", search(MANY, ASKED, tmp_path / "fresh", 9, index))
    find("faiss", search(documents, queries, tmp_path, 5, index))
    refuse(monkeypatch, "_build")
    deeper = find("faiss", search(documents, queries, tmp_path, 9, index))
    np.testing.assert_array_equal(deeper.rows, fresh.rows)
    refuse(monkeypatch, "opened")
    np.testing.assert_array_equal(find("faiss", search(documents, queries, tmp_path, 9, index)).rows, fresh.rows)


@pytest.mark.parametrize("other", ["documents", "queries"])
def test_other_vectors_are_searched_anew(tmp_path, other):
    held = {"documents": named(DOCUMENTS, "documents"), "queries": named(QUERIES, "queries")}
    changed = held | {other: named(multivectors(held[other].counts, seed=7, prefix=other[0]), "another")}
    for source in ("faiss", "pooled"):
        find(source, search(**held, root=tmp_path))
        fresh = find(source, search(**changed, root=tmp_path / "fresh")).rows
        np.testing.assert_array_equal(find(source, search(**changed, root=tmp_path)).rows, fresh)


@pytest.mark.parametrize("source", SEARCHED)
def test_without_a_fingerprint_nothing_is_cached(tmp_path, source):
    find(source, search(DOCUMENTS, QUERIES, tmp_path))
    find(source, search(DOCUMENTS, named(QUERIES, "queries"), tmp_path))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("index", ["nonsense", "ivf8,flat", "PQ7", "IVF1024,Flat", "IVF8,PQ8"])
def test_an_index_that_cannot_be_built_is_refused(tmp_path, index):
    with pytest.raises(OptionError, match=index) as caught:
        find("faiss", search(named(DOCUMENTS, "documents"), QUERIES, tmp_path, index=index))
    assert len(caught.value.problems) == 1 and list(tmp_path.rglob("*.faiss")) == []


def unit_means(vectors):
    for row in range(len(vectors)):
        mean = np.mean([patch.astype(np.float64) for patch in vectors.of(row)], axis=0)
        yield mean / np.sqrt(sum(value * value for value in mean))


@pytest.mark.parametrize("depth", [3, 10])
def test_pooled_ranks_by_normalised_means(tmp_path, depth):
    found = find("pooled", search(DOCUMENTS, QUERIES, tmp_path, depth))
    assert found.source == "pooled" and found.ranked
    for query, asked in enumerate(unit_means(QUERIES)):
        scores = [float(asked @ mean) for mean in unit_means(DOCUMENTS)]
        assert found.rows[query].tolist() == np.argsort(-np.array(scores)).tolist()[:depth]


@pytest.mark.parametrize("per_token", [1, 4, 256])
@pytest.mark.parametrize("source", RANKED)
def test_ties_are_cut_as_trec_eval_orders_them(tmp_path, monkeypatch, source, per_token):
    """By the ids, the greatest first, wherever a document stands; however many tie, and whatever FAISS finds first."""
    monkeypatch.setattr("harness.candidates.faiss.PER_TOKEN", per_token)
    ids = [f"{number:x}" for number in np.random.default_rng(0).permutation(3000)]
    same = dataclasses.replace(multivectors([1] * 3000), vectors=np.full((3000, 16), 0.25, np.float16), ids=ids)
    rows = find(source, search(same, QUERIES, tmp_path, 4)).rows
    assert [[ids[row] for row in mine] for mine in rows] == [sorted(ids, reverse=True)[:4]] * 3


@pytest.mark.parametrize("source", ["faiss", "pooled"])
@pytest.mark.parametrize("dim", [3, 64, 128])
def test_equal_documents_tie_wherever_they_stand(tmp_path, source, dim):
    """A block of BLAS rounds its edges otherwise than its middle."""
    one = multivectors([2], dim).vectors
    same = MultiVectors([f"{at:03d}" for at in range(333)], np.tile(one, (333, 1)), np.arange(334) * 2)
    rows = find(source, search(same, multivectors([5] * 9, dim, 1, "q"), tmp_path, 50)).rows
    assert rows.tolist() == [list(range(332, 282, -1))] * 9


def test_bm25_puts_the_rare_word_first_and_leaves_the_rest_empty(tmp_path):
    texts = {f"d{at}": f"the common bird sings of a {word}" for at, word in enumerate(WORDS)}
    queries = {"rare": "common kiwis", "none": "quantum chromodynamics", "stop": "the of a", "one": "the lynx"}
    rows = find("bm25", of_text(texts, queries, tmp_path, depth=4)).rows
    assert rows[0, 0] == WORDS.index("kiwi") and (rows[0] >= 0).all() and len(set(rows[0])) == 4
    assert rows[1].tolist() == rows[2].tolist() == [-1] * 4
    assert rows[3].tolist() == [WORDS.index("lynx"), -1, -1, -1]


@pytest.mark.parametrize(
    "documents, query",
    [(["a red fox", "old owls"], "??"), (["a red fox", "old owls"], "submarine"), (["the", "of and"], "foxes")],
    ids=["query without a word", "no word in common", "corpus of stop words"],
)
def test_bm25_that_finds_nothing_at_all_is_refused(tmp_path, documents, query):
    texts = {f"d{at}": text for at, text in enumerate(documents)}
    with pytest.raises(DataError, match="not one query finds a document"):
        find("bm25", of_text(texts, {"q": query}, tmp_path))


def test_damaged_candidates_and_indexes_are_made_again(tmp_path):
    question = search(named(DOCUMENTS, "documents"), named(QUERIES, "queries"), tmp_path)
    rows = find("faiss", question).rows
    for path in [*tmp_path.rglob("*.npz"), *tmp_path.rglob("*.faiss")]:
        path.write_bytes(b"")
    np.testing.assert_array_equal(find("faiss", question).rows, rows)


@pytest.mark.parametrize("source", SEARCHED)
@pytest.mark.parametrize("depth", [1, 4, 9])
def test_a_document_that_is_excluded_gives_its_place_to_the_next(tmp_path, source, depth):
    whole = find(source, search(DOCUMENTS, QUERIES, tmp_path, 10)).rows
    question = search(DOCUMENTS, QUERIES, tmp_path, depth)
    excluded = {"q0": frozenset(["d4"]), "q2": frozenset(["d0"])}
    question = dataclasses.replace(question, dataset=dataclasses.replace(question.dataset, excluded=excluded))
    found = find(source, question).rows
    size = 10 if source == "exact" else depth
    for query, own in enumerate([4, None, 0]):
        if source == "bm25":  # all documents tie
            assert own not in found[query] and len(set(found[query]) - {-1}) == size
            continue
        others = [row for row in whole[query] if row != own][:size]
        assert [row for row in found[query] if row >= 0][: len(others)] == others
        assert own not in found[query] and (found[query] >= 0).sum() == size - (source == "exact" and own is not None)


@pytest.mark.parametrize("source", RANKED)
def test_fewer_documents_than_the_depth_leave_the_last_slots_empty(tmp_path, source):
    question = search(DOCUMENTS, QUERIES, tmp_path, depth=30)
    held = dataclasses.replace(question.dataset, excluded={"q0": frozenset(["d4"])})
    rows = find(source, dataclasses.replace(question, dataset=held)).rows
    assert rows.shape[1] <= 30
    for query, own in enumerate([{4}, set(), set()]):
        count = 10 - len(own)
        assert set(rows[query, :count]) == set(range(10)) - own and (rows[query, count:] == -1).all()


@pytest.mark.parametrize("source", SEARCHED)
def test_recall_equals_a_loop(tmp_path, source):
    random = np.random.default_rng(3)
    judged = [
        Qrel(f"q{query}", f"d{row}", int(grade))
        for query in range(3)
        for row, grade in enumerate(random.integers(-1, 3, 10))
    ]
    held = dataset(dict.fromkeys(DOCUMENTS.ids, TEXT), dict.fromkeys(QUERIES.ids, TEXT), judged)
    found = find(source, search(DOCUMENTS, QUERIES, tmp_path, 4, held=held))
    shares = []
    for query in range(3):
        relevant = [one.doc_id for one in judged if one.query_id == f"q{query}" and one.relevance > 0]
        shares.append(sum(f"d{row}" in relevant for row in found.rows[query]) / len(relevant))
    assert found.recall == pytest.approx(sum(shares) / 3)
    assert (found.recall == 1) == (source == "exact")


def test_bm25_reaches_its_published_score_on_scifact(scifact, tmp_path):
    """Anserini's flat index, as in BEIR's table: nDCG@10 0.6789."""
    held = corpora.load(str(scifact), "test")
    vectors, asked = multivectors([1] * len(held.documents)), multivectors([1] * len(held.queries))
    vectors = dataclasses.replace(vectors, ids=[document.id for document in held.documents])
    found = find("bm25", search(vectors, asked, tmp_path, 100, held=held))
    values = measures.per_query(["nDCG@10"], held.qrels, found.run())["value"]
    print(f"nDCG@10 {values.mean():.4f}, recall {found.recall:.4f}, {len(values)} queries")
    assert len(values) == 300 and values.mean() == pytest.approx(0.6789, abs=0.015)
