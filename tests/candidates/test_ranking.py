"""A first stage from a file: every format reads back what was written, and what does not fit is said."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import trec
from harness.candidates import find
from harness.candidates.ranking import read
from harness.corpora.notes import Notes
from harness.errors import DataError, OptionError
from harness.records import ScoredDoc
from tests.candidates.test_candidates import DOCUMENTS, QUERIES, search
from tests.conftest import TINY

ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
PLAIN = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=6)
SCORES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5).map(float)


def rankings(ids):
    """Query → document → score: ties, zeros, and numbers that are written in scientific notation among them."""
    return st.dictionaries(ids, st.dictionaries(ids, SCORES, min_size=1, max_size=5), min_size=1, max_size=4)


def flat(ranking):
    return [
        ScoredDoc(query, document, score) for query, ranked in ranking.items() for document, score in ranked.items()
    ]


def as_trec(ranking):
    return "".join(
        f"{query} Q0 {document} {at} {score!r} mine\n" for at, (query, document, score) in enumerate(flat(ranking))
    )


def as_tagless_trec(ranking):
    return "".join(f"{query}\tQ0\t{document}\t1\t{score!r}\r\n" for query, document, score in flat(ranking))


def as_json(ranking):
    return json.dumps(ranking)


def as_unescaped_json(ranking):
    return json.dumps(ranking, ensure_ascii=False, indent=1)


def as_pylate(ranking):
    """Without queries; their ids are those of the dataset."""
    return json.dumps([[{"id": name, "score": score} for name, score in one.items()] for one in ranking.values()])


def as_named_pylate(ranking):
    return json.dumps({q: [{"id": name, "score": score} for name, score in one.items()] for q, one in ranking.items()})


def table(ranking, delimiter, header):
    text = io.StringIO(newline="")
    rows = csv.writer(text, delimiter=delimiter)
    rows.writerow(header)
    rows.writerows([query, 0, document, score] for query, document, score in flat(ranking))
    return text.getvalue()


def as_csv(ranking):
    return table(ranking, ",", ["query-id", "unused", "corpus-id", "score"])


def as_tsv(ranking):
    return table(ranking, "\t", ["qid", "docid", "docno", "score"])  # PyTerrier's names


def as_semicolons(ranking):
    return table(ranking, ";", ["Query ID".replace(" ", "_"), "text", "doc_id", "similarity"])


def read_back(path, content, queries, packed):
    data = content.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return list(read(path, queries, Notes()))


ALL_IDS = [as_json, as_unescaped_json, as_pylate, as_named_pylate, as_csv, as_tsv, as_semicolons]


@pytest.mark.parametrize("write", ALL_IDS)
@given(ranking=rankings(ANY), packed=st.booleans())
def test_any_ids_read_back(tmp_path_factory, write, ranking, packed):
    path = tmp_path_factory.getbasetemp() / "ranking"
    assert read_back(path, write(ranking), list(ranking), packed) == flat(ranking)


@pytest.mark.parametrize("write", [as_trec, as_tagless_trec])
@given(ranking=rankings(PLAIN), packed=st.booleans())
def test_ids_without_white_space_read_back_from_a_trec_run(tmp_path_factory, write, ranking, packed):
    path = tmp_path_factory.getbasetemp() / "ranking.json"  # the name says nothing
    assert read_back(path, write(ranking), [], packed) == flat(ranking)


@given(ranking=rankings(ANY), packed=st.booleans())
def test_a_trec_run_of_this_program_reads_back_whatever_its_ids(tmp_path_factory, ranking, packed):
    path = tmp_path_factory.getbasetemp() / "ranking.csv"
    wanted = [one._replace(score=float(f"{one.score:.9g}")) for one in flat(ranking)]
    assert read_back(path, trec.write(flat(ranking)), [], packed) == wanted


def test_a_table_without_scores_is_read_by_rank(tmp_path):
    path = tmp_path / "ranks.tsv"
    path.write_text("\ufeffqid\tpid\trank\nq0\td2\t1\nq0\td1\t2\n", "utf-8")
    assert [(one.doc_id, one.score) for one in read(path, [], Notes())] == [("d2", -1.0), ("d1", -2.0)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("q0\td1\t0.5\n", "a ranking needs query"),
        ("a,b\n1,2\n", "a ranking needs query"),
        ("qid,docid,score\nq0,d1\n", ":2: 2 columns instead of 3"),
        ("qid,docid,score\nq0,d1,high\n", ":2: score 'high' is no finite number"),
        ("q0 Q0 d1 1 0.5 x\nq0 Q0 d1 1 nan x\n", ":2: score 'nan' is no finite number"),
        ("q0 Q0 d1 1 0.5 x\nq0 Q0 d1\n", ":2: 3 columns instead of a TREC run's 6"),
        ('{"q0": {"d1": true}}', "query 'q0': score 'True' is no finite number"),
        ('{"q0": ["d1", "d2"]}', "query 'q0': neither {document: score} nor a list"),
        ('{"q0": {"d1": 0.5', "cannot be read"),
        ('[[{"id": "d1", "score": 1}]]', "1 lists without query ids for 3 queries of the dataset"),
        ("[" * 100_000, "cannot be read"),
        (gzip.compress(b"q0 Q0 d1 1 0.5 x\n" * 99, mtime=0)[:-9], "cannot be read"),
        (b"q0 Q0 d\xff 1 0.5 x\n", "cannot be read"),
    ],
)
def test_what_is_no_ranking_is_refused_in_one_line(tmp_path, content, says):
    path = tmp_path / "ranking"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        find(f"ranking:{path}", search(DOCUMENTS, QUERIES, tmp_path))
    [line] = caught.value.problems
    assert says in line and line.startswith(str(path))


def candidates_of(tmp_path, ranking, depth=5, strict=False, excluded=None):
    path = tmp_path / "mine.json"
    path.write_text(ranking if isinstance(ranking, str) else json.dumps(ranking))
    question = dataclasses.replace(search(DOCUMENTS, QUERIES, tmp_path, depth), strict=strict)
    question = dataclasses.replace(question, dataset=dataclasses.replace(question.dataset, excluded=excluded or {}))
    return find(f"ranking:{path}", question)


def test_documents_are_ordered_as_trec_eval_orders_them_and_cut_at_the_depth(tmp_path):
    """By score as a float32, then the greatest id, whatever the order in the file."""
    ranking = {"q2": {"d1": 0.5, "d9": 0.5 + 1e-12, "d3": 2.0, "d0": -1e300}, "q0": {"d4": 1e-30, "d7": 1e-31}}
    found = candidates_of(tmp_path, ranking, depth=3)
    assert found.rows.tolist() == [[4, 7, -1], [-1] * 3, [3, 9, 1]]
    assert found.ranked and found.source == "ranking mine.json" and found.recall == 0
    assert [(one.query_id, one.doc_id) for one in found.run()][:3] == [("q0", "d4"), ("q0", "d7"), ("q2", "d3")]
    shares = candidates_of(tmp_path, {"q0": {"d0": 1}, "q1": {"d1": 1, "d0": 0.5}, "q2": {"d5": 1}})
    assert shares.recall == pytest.approx(2 / 3)


def test_a_document_that_is_excluded_gives_its_place_to_the_next(tmp_path):
    ranking = {f"q{at}": {f"d{row}": 10 - row for row in range(5)} for at in range(3)}
    found = candidates_of(tmp_path, ranking, depth=3, excluded={"q1": frozenset(["d0", "d2"])})
    assert found.rows.tolist() == [[0, 1, 2], [1, 3, 4], [0, 1, 2]]


def test_what_the_dataset_or_the_file_lacks_is_said(tmp_path):
    ranking = {"q0": {"d1": 1, "gone": 2, "away": 3}, "q2": {"away": 1}, "another": {"what": 1}}
    found = candidates_of(tmp_path, ranking)
    assert found.rows[:, 0].tolist() == [1, -1, -1]
    assert list(found.notes) == [
        "1 of 3 queries not in mine.json ('q1'): without candidates, counted as misses",
        "2 documents of mine.json not in the dataset left out ('gone', 'away')",
    ]
    with pytest.raises(DataError, match=r"2 documents of mine.json not in the dataset .* leave --strict out"):
        candidates_of(tmp_path, ranking, strict=True)
    assert candidates_of(tmp_path, {"q0": {"d1": 1}}, strict=True).notes, "a query without candidates is no mistake"


def test_pairs_that_are_repeated_and_lists_without_queries_are_said(tmp_path):
    found = candidates_of(tmp_path, "q0 0 d1 1 1 x\nq0 0 d2 2 2 x\nq0 0 d1 3 3 x\n")
    assert found.rows[0].tolist() == [1, 2, -1, -1, -1]
    assert "1 document of mine.json repeated for a query: the highest score counts" in found.notes
    lists = [[{"id": f"d{row}", "score": 1.0}] for row in range(3)]
    found = candidates_of(tmp_path, lists)
    assert found.rows[:, 0].tolist() == [0, 1, 2]
    assert found.notes == [
        "mine.json names no queries: its lists are taken for those of the dataset in order ('q0', 'q1', 'q2')"
    ]
    with pytest.raises(DataError, match="names no queries"):
        candidates_of(tmp_path, lists, strict=True)


@pytest.mark.parametrize(
    ("ranking", "says"),
    [
        (
            {"Q0": {"d1": 1}},
            "none of its 1 query is in the dataset: 'Q0'; ids differ in upper and lower case: ranked 'Q0', given 'q0'",
        ),
        ({"q0": {"doc-1": 1}, "q1": {}}, "none of its 1 document is in the dataset: 'doc-1'; ids differ in a prefix"),
        ({"x": {"d1": 1}, "y": {"d1": 1}}, "given are 'q0', …; rank the ids that are given"),
    ],
)
def test_ids_that_fit_nothing_say_what_they_differ_in(tmp_path, ranking, says):
    with pytest.raises(DataError) as caught:
        candidates_of(tmp_path, ranking)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("ranking", "candidates ranking: which? give ranking:FILE"),
        ("ranking:", "which?"),
        ("ranking:/no/such/file", "there is no such file"),
        ("bm25:x", "takes nothing after a colon; give bm25"),
        ("rankin:x", "did you mean 'ranking'"),
    ],
)
def test_a_spec_that_names_no_file_is_refused_at_once(spec, says):
    with pytest.raises(OptionError) as caught:
        harness.evaluate(dataset=str(TINY), candidates=spec)
    assert says in str(caught.value) and len(caught.value.problems) == 1


def test_eval_reranks_a_file_and_shows_its_own_order(tmp_path):
    """The same question on another file's content is another run; stress takes the file too."""
    question = {"dataset": str(TINY), "pool": "maxsim", "measures": "nDCG@10,R@10", "output": tmp_path / "runs"}
    sweep = question | {"lengths": [16], "arms": "truncate"}
    first = harness.evaluate(**sweep, candidates="bm25", depth=20)
    [ranking] = first.path.glob("rankings/candidates/bm25/*")
    own = tmp_path / "bm25.trec.gz"
    own.write_bytes(ranking.read_bytes())
    again = harness.evaluate(**sweep, candidates=f"ranking:{own}", depth=20)
    assert again.manifest.candidates == first.manifest.candidates | {"source": "ranking bm25.trec.gz"}
    tables = [run.per_query.drop(columns="pool") for run in (first, again)]
    assert tables[0].equals(tables[1])
    assert (again.path / "rankings/candidates/ranking:bm25.trec.gz/full.trec.gz").read_bytes() == ranking.read_bytes()
    assert len(again.manifest.fingerprints["candidates"]) == 64 and "candidates" not in first.manifest.fingerprints
    own.write_bytes(gzip.compress(gzip.decompress(ranking.read_bytes()).replace(b"harness", b"another")))
    other = harness.evaluate(**sweep, candidates=f"ranking:{own}", depth=20)
    assert other.path != again.path
    attacked = harness.stress(**question, candidates=f"ranking:{own}", inject="hard", counts=[0, 5])
    assert np.isfinite(attacked.summary["value"]).all()
    harness.report(again.path, attacked.path, format="md,mteb,ranx", output=tmp_path / "report")
