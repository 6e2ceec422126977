"""Folders of page images: both layouts, what changes a fingerprint, and mistakes as lines that name the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import candidates, corpora, encoders
from harness.errors import DataError, OptionError
from harness.files import cache_folder, checksum
from harness.progress import Stages
from harness.records import Document, Page, content
from harness.vectors import store
from tests.conftest import TINY, multivectors
from tests.corpora.test_ids import embeddings, figures
from tests.encoders.vision import folder_of_pages, picture


@pytest.fixture
def folder(tmp_path) -> Path:
    return folder_of_pages(tmp_path / "pages")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def hub(folder: Path, source: Path, dash: str = "-", own=lambda at: at, **changed) -> Path:
    """The same pages as the hub keeps ViDoRe's: parquet files, ids as whole numbers, images inside."""
    images = [path.read_bytes() for path in sorted((source / "images").iterdir())]
    ids = [own(at) for at in range(len(images))]
    queries = [json.loads(line)["text"] for line in (source / "queries.jsonl").read_text().splitlines()]
    asked = [100 + at for at in range(len(ids))]
    tables = {
        "corpus": {f"corpus{dash}id": ids, "image": [{"bytes": one, "path": "../../x.png"} for one in images]},
        "queries": {f"query{dash}id": asked, "query": queries},
        "qrels": {f"query{dash}id": asked, f"corpus{dash}id": ids, "score": [1] * len(ids)},
    }
    for name, columns in tables.items():
        whole = {**columns, **changed.get(name, {})}
        place = folder / name / "test-00000-of-00001.parquet"
        place.parent.mkdir(parents=True)
        pq.write_table(pa.table({key: value for key, value in whole.items() if value is not None}), place)
    return folder


def problems(folder) -> list[str]:
    with pytest.raises(DataError) as found:
        corpora.load(str(folder))
    return list(found.value.problems)


def test_a_folder_of_images_is_read_with_beirs_files(folder):
    found = corpora.load(str(folder))
    assert [document.id for document in found.documents] == ["p0", "p1", "p2", "p3"] and found.split == "test"
    for document in found.documents:
        assert document.text == "" and document.page.path == (folder / "images" / f"{document.id}.png").resolve()
        assert document.page.checksum == checksum(document.page.path)
    assert found.queries[2].text == "what is on page p2" and found.qrels[2] == ("q2", "p2", 1, "0")


@pytest.mark.parametrize("dash", ["-", "_"])
def test_the_hubs_folder_gives_the_same_pages(folder, tmp_path, dash):
    plain, found = corpora.load(str(folder)), corpora.load(str(hub(tmp_path / "hub", folder, dash)))
    assert [document.id for document in found.documents] == ["0", "1", "2", "3"]
    assert [query.id for query in found.queries] == ["100", "101", "102", "103"]
    assert [one.page.checksum for one in found.documents] == [one.page.checksum for one in plain.documents]
    for one, other in zip(found.documents, plain.documents, strict=True):
        assert one.page.path.parent == cache_folder() / "pages"
        assert one.page.path.read_bytes() == other.page.path.read_bytes()
    assert [query.text for query in found.queries] == [query.text for query in plain.queries]


def test_images_are_extracted_once_and_again_if_they_are_damaged(folder, tmp_path):
    place = hub(tmp_path / "hub", folder)
    paths = [document.page.path for document in corpora.load(str(place)).documents]
    times = [path.stat().st_mtime_ns for path in paths]
    paths[1].write_bytes(paths[1].read_bytes()[:50])
    corpora.load(str(place))
    assert [path.stat().st_mtime_ns == time for path, time in zip(paths, times, strict=True)] == [
        True,
        False,
        True,
        True,
    ]
    assert checksum(paths[1]) == paths[1].name
    content = bytearray(paths[0].read_bytes())
    content[-1] ^= 1
    paths[0].write_bytes(content)
    corpora.load(str(place))
    assert checksum(paths[0]) == paths[0].name


def test_parts_splits_and_data_folders_of_the_hub(folder, tmp_path):
    place = hub(tmp_path / "hub", folder)
    (place / "data").mkdir()
    for table in ("corpus", "queries"):
        (place / table / "test-00000-of-00001.parquet").rename(place / "data" / f"{table}-00000-of-00001.parquet")
    shutil.copy(place / "qrels" / "test-00000-of-00001.parquet", place / "qrels" / "train-00000-of-00001.parquet")
    assert list(corpora.check(str(place)).splits) == ["test", "train"]
    assert len(corpora.load(str(place), "train").documents) == 4
    with pytest.raises(OptionError, match="did you mean 'train'"):
        corpora.check(str(place), "trian")


def test_a_folder_is_found_by_name(folder, monkeypatch):
    monkeypatch.setenv("HARNESS_DATASETS", str(folder.parent))
    assert corpora.check("pages").source == "pages" and "folder of pages" in corpora.datasets()["pages"].description
    assert len(corpora.load("pages").documents) == 4


def test_the_text_of_a_page_is_read_where_the_corpus_has_it(folder, tmp_path):
    texts = {"corpus": {"markdown": ["one", "two", None, ""]}}
    found = corpora.load(str(hub(tmp_path / "hub", folder, **texts)))
    assert [document.text for document in found.documents] == ["one", "two", "", ""]
    search = candidates.Search(found, multivectors([1] * 4), multivectors([1] * 4), 4, "", Stages(), tmp_path)
    assert (candidates.SOURCES["bm25"](search).rows == -1).all()  # no query has these words; but it is no mistake


def test_a_changed_image_changes_fingerprint_and_key_but_its_place_does_not(folder, tmp_path):
    first = corpora.load(str(folder))
    moved = corpora.load(str(shutil.copytree(folder, tmp_path / "moved")))
    assert moved.fingerprint == first.fingerprint
    assert [content(one) for one in moved.documents] == [content(one) for one in first.documents]
    picture(folder / "images" / "p1.png", 99)
    changed = corpora.load(str(folder))
    assert changed.fingerprint != first.fingerprint
    assert [content(a) == content(b) for a, b in zip(first.documents, changed.documents, strict=True)] == [1, 0, 1, 1]


class Sums:
    """An encoder whose vectors are made of the image's bytes."""

    fingerprint, reads = "sums", "pages"

    def __init__(self):
        self.seen = []

    def recipe(self, role):
        return {}

    def encode(self, items, role):
        for at, item in enumerate(items):
            self.seen.append(item.id)
            total = sum(item.page.path.read_bytes()) % 1000
            yield [(at, np.array([[total / 1000, 1]], np.float16))]


def test_pages_are_encoded_again_when_an_image_changes_and_not_otherwise(folder):
    encoder = Sums()
    first = store.fetch(encoder, corpora.load(str(folder)).documents, "document", Stages())
    store.fetch(encoder, corpora.load(str(folder)).documents, "document", Stages())
    assert encoder.seen == ["p0", "p1", "p2", "p3"]
    picture(folder / "images" / "p1.png", 99)
    second = store.fetch(encoder, corpora.load(str(folder)).documents, "document", Stages())
    assert len(encoder.seen) == 8 and (first.of(1) != second.of(1)).any() and (first.of(0) == second.of(0)).all()


def test_text_datasets_keep_the_keys_they_had():
    assert content(Document("a", "b")) == ("a", "b")
    found = corpora.load(str(TINY))
    assert all(len(content(item)) == 2 for item in [*found.documents, *found.queries])


def test_all_mistakes_of_a_folder_are_told_together(folder, tmp_path):
    images, outside = folder / "images", picture(tmp_path / "secret.png", 1)
    (images / "p1.png").write_bytes((images / "p1.png").read_bytes()[:-200])
    (images / "p2.png").write_text("no image")
    (images / "p3.png").unlink()
    (images / "link.png").symlink_to(outside)
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q0\tp0\t0.5\nq0\t<script>\tx\n")
    (folder / "queries.jsonl").unlink()
    found = problems(folder)
    for words in (
        "p1.png cannot be read",
        "p2.png cannot be read (no PNG, JPEG or WebP",
        "'link.png'; copy them in",
        "queries are missing; a folder of pages has",
        "test.tsv:6: score '0.5' is a fraction",
        "test.tsv:7: score 'x'",
    ):
        assert sum(words in line for line in found) == 1, (words, found)
    (folder / "queries.jsonl").write_text("\n")
    assert any("queries.jsonl holds no query; write one a line" in line for line in problems(folder))


def test_many_broken_images_are_counted(folder):
    for at in range(9):
        (folder / "images" / f"x{at}.jpg").write_bytes(b"")
    found = problems(folder)
    assert len(found) == 6 and found[-1] == "4 more images cannot be read"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"corpus": {"corpus-id": None, "name": list("abcd")}}, "a page needs id (id, corpus-id, corpusid, doc-id, …)"),
        ({"queries": {"query": None}}, "queries/test-00000-of-00001.parquet: a query needs text (query, question, "),
        ({"qrels": {"score": [1, 1, 0.5, 1]}}, "test-00000-of-00001.parquet:3: score 0.5 is a fraction"),
        ({"qrels": {"score": [1, 1, 128, 1]}}, "128; needs query-id, corpus-id and a whole-number score up to 127"),
        ({"qrels": {"corpus-id": [77, 78, 79, 80]}}, "none of the 4 judged documents is in the collection: '77'"),
        ({"queries": {"query": ["a", None, "b", "c"]}}, "1 judged query without text: '101'"),
        ({"queries": {"query": [["a"], ["b"], ["c"], ["d"]]}}, "parquet:1: \"text\" must be text, not ['a']"),
        ({"queries": {"query-id": [], "query": []}}, "holds no query"),
        ({"corpus": {"image": [{"bytes": None, "path": "p.png"}] * 4}}, "page 0 lacks an id or its image's bytes"),
        ({"corpus": {"image": [{"bytes": b"\x89PNG..", "path": ""}] * 4}}, "parquet: page 3 cannot be read (no PNG"),
        ({"corpus": {"corpus-id": ["", "1", "2", "3"]}}, "page  lacks an id"),
    ],
    ids=str,
)
def test_mistakes_in_the_hubs_files_are_lines_that_name_them(folder, tmp_path, changed, words):
    assert any(words in line for line in problems(hub(tmp_path / "hub", folder, **changed)))


def test_a_damaged_or_missing_parquet_file_is_named(folder, tmp_path):
    place = hub(tmp_path / "hub", folder)
    (place / "queries" / "test-00000-of-00001.parquet").write_bytes(b"PAR1 damaged")
    shutil.rmtree(place / "qrels")
    found = problems(place)
    assert any("queries/test-00000-of-00001.parquet cannot be read" in line for line in found)
    assert any("qrels are missing; ViDoRe folders have" in line for line in found)


def test_a_strange_id_decides_no_file_name(folder, tmp_path):
    names = ["../../../escaped", "<script>alert(1)</script>", "/etc/passwd", "x" * 300]
    place = hub(tmp_path / "hub", folder, own=lambda at: names[at])
    assert {document.id for document in corpora.load(str(place)).documents} == set(names)
    assert {len(path.name) for path in (cache_folder() / "pages").iterdir()} == {64}
    assert not list(tmp_path.rglob("escaped*"))


def test_encoders_and_bm25_refuse_what_they_cannot_read(folder):
    found, minilm = corpora.load(str(folder)), encoders.load("minilm", "float32", "cpu")
    with pytest.raises(DataError, match=r"4 documents are page images without text \('p0'.*give a ColPali-like"):
        encoders.accept(minilm, found.documents)
    with pytest.raises(DataError, match=r"1 documents are texts \('a'\).*give --dataset a folder of pages"):
        encoders.accept(Sums(), [Document("a", "text")])
    encoders.accept(minilm, [Document("a", "text"), Document("b", "its text", Page(folder, "x"))])
    search = candidates.Search(found, multivectors([1] * 4), multivectors([1] * 4), 4, "", Stages(), folder)
    with pytest.raises(DataError, match="bm25: the pages have no text; give --candidates faiss"):
        candidates.find("bm25", search)


def test_pages_and_queries_that_are_both_numbered_from_0_keep_all_judgments(folder, tmp_path):
    ids = {"queries": {"query-id": [0, 1, 2, 3]}, "qrels": {"query-id": [0, 1, 2, 3], "corpus-id": [0, 1, 2, 0]}}
    place = hub(tmp_path / "hub", folder, **ids)
    axes = np.eye(5).tolist()
    documents = {str(at): axes[at] for at in range(4)}
    documents["0"], documents["3"] = [1, 0, 0, 0.5, 0], [0, 0, 0, 0.9, 0]
    vectors = embeddings(tmp_path / "vectors", documents, {str(at): axes[at] for at in range(4)})
    found = corpora.load(str(place))  # the last query's page is its second
    assert not found.excluded and len(found.queries) == len(found.qrels) == 4
    assert figures(place, vectors, "nDCG@10,R@1") == {"nDCG@10": 0.9077, "R@1": 0.75}
