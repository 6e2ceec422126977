"""Documents in Arrow files: what a list of them would hold, in the order of their ids, in little memory."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import reading
from harness import corpora
from harness.corpora import documents
from harness.corpora.documents import Documents, in_memory
from harness.files import cache_folder
from harness.records import Document, Page
from tests.corpora import layouts
from tests.corpora.layouts import BREAD

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=3) | st.integers(0, 30).map(str)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
PAGES = st.none() | st.builds(Page, st.just(Path("/a b/é.png")), st.sampled_from(["aa", "bb"]))
ITEMS = st.builds(Document, IDS, TEXTS, PAGES, TEXTS)


def place(document: Document) -> tuple[int, str]:
    return len(document.id), document.id


@settings(max_examples=150)
@given(st.lists(ITEMS, max_size=30), st.sampled_from([1, 600, 2_000, 1 << 25]), st.data())
def test_they_are_what_a_sorted_list_holds(items, letters, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "LETTERS", letters)  # 1: a file for every document
        found = in_memory(items)
    first: dict[str, Document] = {}
    for item in items:
        first.setdefault(item.id, item)
    repeated = [item for item in items if first[item.id] is not item]
    content = {item.id: (item.text, item.page and item.page.checksum) for item in first.values()}
    same = [item.id for item in repeated if (item.text, item.page and item.page.checksum) == content[item.id]]
    torn = [item.id for item in repeated if (item.text, item.page and item.page.checksum) != content[item.id]]
    for names, wanted in ((found.summary.again, same), (found.summary.torn, torn)):
        assert len(names) == len(wanted) and list(names) == wanted[:3]
    whole = sorted((item for item in first.values() if item.page or item.text.strip()), key=place)
    blank = sorted((item for item in first.values() if not item.page and not item.text.strip()), key=place)
    assert list(found) == whole and found.summary.blank == [item.id for item in blank]
    assert list(found.ids()) == [item.id for item in whole] and len(found) == len(whole)
    assert [found[at] for at in range(-len(whole), len(whole))] == whole + whole
    cut = data.draw(st.slices(len(whole)))
    assert found[cut] == whole[cut]
    names = data.draw(st.sets(IDS))
    assert list(found.find(names)) == [item for item in whole if item.id in names]
    copy = pickle.loads(pickle.dumps(found))
    assert copy == found and list(copy) == whole and (found != in_memory(whole[1:]) or not whole)
    with pytest.raises(IndexError):
        found[len(whole)]


def test_half_a_surrogate_pair_is_named_and_breaks_nothing():
    found = in_memory([Document("a", "fine"), Document("b\ud83d", "x"), Document("c", "\udcff half")])
    assert list(found.summary.broken) == ["b\ud83d", "c"] and len(found) == 3 and found[0].text == "fine"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "documents"


def untidy(folder: Path) -> str:
    layouts.beir(folder, BREAD)
    rows = [{"_id": 7, "text": "seven"}, {"_id": "e", "text": None}, {"_id": "n", "title": 1984, "text": "x"}]
    rows += [{"_id": "d2", "title": "Tides", "text": "High water comes twice a day."}]
    layouts.jsonl(folder / "corpus.jsonl", [*layouts.documents(BREAD), *rows])
    return str(folder)


def test_a_second_reading_is_of_the_cache_and_says_the_same(tmp_path, cache, monkeypatch):
    name = untidy(tmp_path / "toy")
    first = corpora.load(name)
    assert len(list(cache.iterdir())) == 1 and len(first.notes) == 5
    monkeypatch.setattr("harness.corpora.documents.write", None)  # nothing is written again
    again = corpora.load(name)
    assert isinstance(again.documents, Documents) and again == first
    (tmp_path / "toy.yaml").write_text("relevant_from: 1\n")
    assert corpora.load(name).documents == first.documents


def test_another_content_or_card_is_read_anew(tmp_path, cache):
    name = untidy(tmp_path / "toy")
    corpora.load(name)
    rows = [row | {"language": "english" if row["_id"] < "d3" else "french"} for row in layouts.documents(BREAD)]
    layouts.jsonl(tmp_path / "toy" / "corpus.jsonl", rows)
    assert len(corpora.load(name).documents) == 4
    (tmp_path / "toy.yaml").write_text("keep: {language: english}\n")
    assert [one.id for one in corpora.load(name).documents] == ["d1", "d2"] and len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", ["about.json", "00000.arrow"])
def test_a_damaged_cache_is_made_again(tmp_path, cache, damage):
    name = untidy(tmp_path / "toy")
    first = corpora.load(name)
    [folder] = cache.iterdir()
    whole = (folder / damage).read_bytes()
    for content in (whole[:-9], b"", whole.replace(b"linen", b"liner") if damage != "about.json" else b"{}"):
        (folder / damage).unlink()
        (folder / damage).write_bytes(content)
        assert corpora.load(name) == first and (folder / damage).read_bytes() == whole


def test_what_is_wrong_is_not_cached(tmp_path, cache):
    name = untidy(tmp_path / "toy")
    with (tmp_path / "toy" / "corpus.jsonl").open("a") as file:
        file.write("{\n")
    for _ in range(2):
        with pytest.raises(corpora.base.DataError, match=r"corpus\.jsonl:9: not JSON"):
            corpora.load(name)
        assert not list(cache.iterdir())


def test_a_document_takes_little_memory_while_it_is_read(tmp_path):
    """8.8 million within 2 GB: less than 200 bytes each above what a small collection takes."""
    sizes = (10_000, 110_000)
    for shuffled in (False, True):
        peaks = []
        for size in sizes:
            reading.make(tmp_path / f"{size}{shuffled}", size, shuffled)
            figures = reading.read(tmp_path / f"{size}{shuffled}", tmp_path / "cache", letters=1 << 20)
            assert figures["documents"] == size
            peaks.append(figures["peak"])
        assert (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]) < 200, f"shuffled: {shuffled}"


def test_the_cache_is_the_users(tmp_path):
    with tempfile.TemporaryDirectory() as work:
        corpora.load(untidy(Path(work) / "toy"))
    assert any((cache_folder() / "documents").iterdir())
