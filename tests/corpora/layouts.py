"""One collection written in every layout that is read, each as people write it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Texts:
    """documents: (id, title, text); queries: (id, text); judged: (query, document, grade)."""

    documents: Sequence[tuple[str, str, str]]
    queries: Sequence[tuple[str, str]]
    judged: Sequence[tuple[str, str, int]]


BREAD = Texts(
    [
        ("d1", "Rye bread", "Rye bread keeps for a week in linen."),
        ("d2", "Tides", "High water comes twice a day."),
        ("d3", "", "A chain that is oiled lasts three times as long."),
        ("d4", "Trains", "Sleeping cars run again."),
    ],
    [("q1", "how is bread stored"), ("q2", "when is high water"), ("q3", "how long does a chain last")],
    [("q1", "d1", 1), ("q2", "d2", 1), ("q2", "d4", 1), ("q3", "d3", 1)],
)


def jsonl(path: Path, rows: Rows, packed: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if packed == ".zst":
        with pa.CompressedOutputStream(f"{path}.zst", "zstd") as file:
            file.write(content)
        return
    path.with_name(path.name + packed).write_bytes(gzip.compress(content) if packed else content)


def parquet(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def lines(path: Path, rows: Sequence[Sequence[Any]], header: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ([header] if header else []) + ["\t".join(map(str, row)) for row in rows]
    path.write_text("\n".join(text) + "\n", encoding="utf-8", newline="\n")


def documents(texts: Texts, name: str = "_id", title: str = "title", text: str = "text") -> Rows:
    return [{name: one, title: head, text: body} for one, head, body in texts.documents]


def whole(texts: Texts, name: str, text: str) -> Rows:
    """Documents without a column of titles: the title is the text's beginning."""
    return [{name: one, text: f"{head} {body}".strip()} for one, head, body in texts.documents]


def queries(texts: Texts, name: str = "_id", text: str = "text") -> Rows:
    return [{name: one, text: asked} for one, asked in texts.queries]


def qrels(texts: Texts, query: str = "query-id", document: str = "corpus-id", grade: str | None = "score") -> Rows:
    return [{query: one, document: other} | ({grade: rel} if grade else {}) for one, other, rel in texts.judged]


def gold(texts: Texts, query: str) -> list[str]:
    return [document for one, document, _ in texts.judged if one == query]


def beir(folder: Path, texts: Texts, packed: str = "") -> None:
    jsonl(folder / "corpus.jsonl", documents(texts), packed)
    jsonl(folder / "queries.jsonl", queries(texts), packed)
    lines(folder / "qrels" / "test.tsv", texts.judged, "query-id\tcorpus-id\tscore")


def beir_gz(folder: Path, texts: Texts) -> None:
    beir(folder, texts, ".gz")


def beir_zst(folder: Path, texts: Texts) -> None:
    beir(folder, texts, ".zst")


def limit(folder: Path, texts: Texts) -> None:
    jsonl(folder / "corpus.jsonl", documents(texts))
    jsonl(folder / "queries.jsonl", queries(texts))
    jsonl(folder / "qrels.jsonl", qrels(texts))


def longembed(folder: Path, texts: Texts) -> None:
    jsonl(folder / "corpus.jsonl", whole(texts, "doc_id", "text"))
    jsonl(folder / "queries.jsonl", queries(texts, "qid"))
    jsonl(folder / "qrels.jsonl", qrels(texts, "qid", "doc_id", None))


def passages(folder: Path, texts: Texts) -> None:
    jsonl(folder / "passages.jsonl", [row | {"source": "x"} for row in documents(texts, "id")])
    jsonl(folder / "queries.jsonl", [row | {"type": "fact"} for row in queries(texts, "query_id", "query")])
    jsonl(folder / "qrels.jsonl", qrels(texts, "query_id", "passage_id", "relevance"))


def nanobeir(folder: Path, texts: Texts) -> None:
    for table, rows in (
        ("corpus", whole(texts, "_id", "text")),
        ("queries", queries(texts)),
        ("qrels", qrels(texts, grade=None)),
    ):
        parquet(folder / table / "train-00000-of-00001.parquet", rows)


def a_split_a_dataset(folder: Path, texts: Texts) -> None:
    """sentence-transformers' NanoBEIR: every table holds a split for each dataset."""
    other = Texts([("d1", "", "other")], [("q1", "other?")], [("q1", "d1", 1)])
    for name, one in (("Zebra", other), ("Bread", texts)):
        for table, rows in (("corpus", documents(one)), ("queries", queries(one)), ("qrels", qrels(one))):
            parquet(folder / table / f"{name}-00000-of-00001.parquet", rows)


def mteb2(folder: Path, texts: Texts) -> None:
    rows, half = documents(texts), len(texts.documents) // 2
    parquet(folder / "corpus" / "corpus-00000-of-00002.parquet", rows[:half])
    parquet(folder / "corpus" / "corpus-00001-of-00002.parquet", rows[half:])
    parquet(folder / "queries" / "queries-00000-of-00001.parquet", queries(texts))
    parquet(folder / "data" / "test-00000-of-00001.parquet", qrels(texts))


def configs(folder: Path, texts: Texts) -> None:
    """mteb's copy of MLDR: a configuration for each table of a language."""
    for table, rows in (("corpus", documents(texts, "id")), ("queries", queries(texts, "id")), ("qrels", qrels(texts))):
        parquet(folder / f"en-{table}" / "test-00000-of-00001.parquet", rows)


def beir_of_the_hub(folder: Path, texts: Texts) -> None:
    """BeIR/x, its judgments in BeIR/x-qrels beside it."""
    parquet(folder / "corpus" / "corpus-00000-of-00001.parquet", documents(texts))
    parquet(folder / "queries" / "queries-00000-of-00001.parquet", queries(texts))
    lines(folder.with_name(f"{folder.name}-qrels") / "test.tsv", texts.judged, "query-id\tcorpus-id\tscore")


def colbert(folder: Path, texts: Texts) -> None:
    lines(folder / "collection.tsv", [list(row.values()) for row in whole(texts, "id", "text")])
    lines(folder / "queries.tsv", texts.queries)
    lines(folder / "qrels.tsv", [(query, 0, document, grade) for query, document, grade in texts.judged])


def quoted(cell: str) -> str:
    return '"{}"'.format(cell.replace('"', '""'))


def titled_tsv(folder: Path, texts: Texts) -> None:
    rows = [(name, quoted(text), quoted(title)) for name, title, text in texts.documents]
    lines(folder / "collection.tsv", rows, "id\ttext\ttitle")
    lines(folder / "queries.tsv", [(name, quoted(text)) for name, text in texts.queries], "qid\tquery")
    lines(folder / "qrels.dev.tsv", [(query, document) for query, document, _ in texts.judged])


def msmarco_documents(folder: Path, texts: Texts) -> None:
    lines(folder / "docs.tsv", [(name, "http://x", title, text) for name, title, text in texts.documents])
    lines(folder / "queries.tsv", texts.queries)
    (folder / "qrels.txt").write_text("".join(f"{q} 0 {d} {grade}\n" for q, d, grade in texts.judged))


def csv(folder: Path, texts: Texts) -> None:
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in (("corpus", documents(texts)), ("queries", queries(texts)), ("qrels", qrels(texts))):
        pd.DataFrame(rows).to_csv(folder / f"{table}.csv", index=False)


def trec(folder: Path, texts: Texts) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    held = "".join(
        f"<DOC>\n<DOCNO> {escape(name, False)} </DOCNO>\n<TITLE>{escape(title, False)}</TITLE>\n"
        f"<TEXT>\n{escape(text, False)}\n</TEXT>\n</DOC>\n"
        for name, title, text in texts.documents
    )
    asked = "".join(
        f"<top>\n<num> Number: {escape(name, False)}\n<title> Topic: {escape(text, False)}\n"
        "<desc> Description:\nx\n</top>\n"
        for name, text in texts.queries
    )
    (folder / "docs.trec").write_text(held)
    (folder / "topics.txt").write_text(asked)
    (folder / "qrels.txt").write_text("".join(f"{q} 0 {d} {grade}\n" for q, d, grade in texts.judged))


def trec_xml(folder: Path, texts: Texts) -> None:
    for at, (name, title, text) in enumerate(texts.documents):
        place = folder / "docs" / f"part{at}.xml"
        place.parent.mkdir(parents=True, exist_ok=True)
        inside = f"<docno>{escape(name, False)}</docno><headline>{escape(title, False)}</headline>{escape(text, False)}"
        place.write_text(f"<?xml version='1.0'?>\n<doc>{inside}</doc>")
    asked = "".join(
        f'<topic number="{escape(name)}"><query>{escape(text, False)}</query></topic>' for name, text in texts.queries
    )
    (folder / "topics.xml").write_text(f"<topics>{asked}</topics>")
    (folder / "qrels").write_text("".join(f"{q}\t0\t{d}\t{grade}\n" for q, d, grade in texts.judged))


def bright(folder: Path, texts: Texts) -> None:
    parquet(folder / "documents" / "biology-00000-of-00001.parquet", whole(texts, "id", "content"))
    parquet(folder / "long_documents" / "biology-00000-of-00001.parquet", [{"id": "long", "content": "all of it"}])
    rest = {"gold_ids_long": ["long"], "excluded_ids": ["N/A"]}
    rows = [{"id": name, "query": text, "gold_ids": gold(texts, name), **rest} for name, text in texts.queries]
    parquet(folder / "examples" / "biology-00000-of-00001.parquet", rows)


def mldr(folder: Path, texts: Texts) -> None:
    jsonl(folder / "corpus.jsonl", whole(texts, "docid", "text"), ".gz")
    for split, some in (("test", texts.queries), ("dev", [("q1", "another question about bread")])):
        rows = [
            {
                "query_id": name,
                "query": text,
                "positive_passages": [{"docid": one} for one in gold(texts, name)],
                "negative_passages": [{"docid": "d0", "text": "x"}],
            }
            for name, text in some
        ]
        jsonl(folder / f"{split}.jsonl", rows, ".gz")


def autorag(folder: Path, texts: Texts) -> None:
    parquet(folder / "corpus.parquet", [row | {"metadata": {"at": 1}} for row in whole(texts, "doc_id", "contents")])
    rows = [
        {"qid": name, "query": text, "generation_gt": ["x"], "retrieval_gt": [[one] for one in gold(texts, name)]}
        for name, text in texts.queries
    ]
    parquet(folder / "qa.parquet", rows)


def loco(folder: Path, texts: Texts) -> None:
    rows = [{"dataset": "bread", **row} for row in whole(texts, "pid", "passage")]
    jsonl(folder / "documents" / "bread_test.jsonl", rows)
    asked = [{"qid": name, "query": text, "answer_pids": gold(texts, name)} for name, text in texts.queries]
    jsonl(folder / "queries" / "bread_test.jsonl", asked)


def quietly_named(folder: Path, texts: Texts) -> None:
    """Names of columns in any case, with _ or -, and a judgments file beside the corpus."""
    jsonl(folder / "corpus.jsonl", documents(texts, "Doc_ID", "Title", "Contents"))
    jsonl(folder / "queries.jsonl", queries(texts, "QID", "Question"))
    lines(folder / "qrels_test.tsv", texts.judged, "Query_ID\tDoc-ID\tRelevance")


TEXT = (beir, beir_gz, beir_zst, limit, longembed, passages, quietly_named)
TABLES = (nanobeir, a_split_a_dataset, mteb2, configs, beir_of_the_hub)
TSV, TREC = (colbert, titled_tsv, msmarco_documents, csv), (trec, trec_xml)
PLAIN: dict[str, Callable[[Path, Texts], None]] = {one.__name__: one for one in (*TEXT, *TABLES, *TSV, *TREC)}
NESTED: dict[str, Callable[[Path, Texts], None]] = {one.__name__: one for one in (bright, mldr, autorag, loco)}
KINDS = {"beir": TEXT, "tables": TABLES, "tsv": TSV, "trec": TREC, "nested": tuple(NESTED.values())}
LAYOUT = {one.__name__: kind for kind, writers in KINDS.items() for one in writers}
