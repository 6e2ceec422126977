"""Tokens that a checkpoint's vocabulary does not know: counted, sampled in no order, and said in a note."""

from __future__ import annotations

import json
import random
import shutil
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

import harness
from harness.encoders import load, unknown
from harness.records import Document, Query
from tests.conftest import TINY
from tests.encoders.test_checkpoints import MINILM, both_kinds

KNOWN, STRANGE = ["the", "moon", "of", "water", "seven"], ["𐌰𐌱", "ꙮ", "𓀀𓀁", "ᚠᚢ"]  # a token each, to BERT's vocabulary
WORDS = st.lists(st.sampled_from(KNOWN + STRANGE), min_size=1, max_size=40)


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_the_share_is_that_of_the_unknown_words(texts):
    words = [word for text in texts for word in text]
    expected = sum(word in STRANGE for word in words) / len(words)
    assert unknown.share(MINILM, [" ".join(text) for text in texts], 512) == pytest.approx(expected)


def test_what_lies_beyond_the_limit_does_not_count():
    assert unknown.share(MINILM, ["the " * 30 + "ꙮ " * 70], 40) == pytest.approx(0.25)


@pytest.mark.parametrize(("strange", "said"), [(0, False), (9, False), (10, False), (11, True), (100, True)])
def test_a_note_says_so_from_more_than_a_tenth_on(strange, said):
    encoder = load(str(MINILM), "float32", "cpu")
    fine, text = [Query("q", "the moon")], " ".join(["ꙮ"] * strange + ["moon"] * (100 - strange))
    found = list(unknown.notes(encoder, [Document("d", text)], fine))
    assert [note.split(" are")[0] for note in found] == [f"{strange}% of the tokens of the documents"] * said
    assert len(list(unknown.notes(encoder, [Document("d", "the moon")], [Query("q", text)]))) == said


def test_the_order_of_lines_decides_nothing_where_a_sample_is_taken():
    encoder, items = (
        load(str(MINILM), "float32", "cpu"),
        [Document(f"d{at}", "moon ꙮ " * (at % 7)) for at in range(900)],
    )
    [note] = unknown.notes(encoder, items, [Query("q", "moon")])
    assert "50% of the tokens of the documents" in note and "by a sample of 256" in note
    texts = unknown.sample(items)
    for seed in range(3):
        random.Random(seed).shuffle(items)
        assert unknown.sample(items) == texts and list(unknown.notes(encoder, items, [])) == [note]


@pytest.mark.parametrize("kind", ["whole", "vocabulary only"])
def test_any_files_of_a_tokenizer_are_read(kind, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "config.json"):
        if (MINILM / name).exists() and (kind == "whole" or name != "tokenizer.json"):
            shutil.copy(MINILM / name, tmp_path)
    assert unknown.share(tmp_path, ["the moon ꙮ water"], 512) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (models.WordLevel({"moon": 0, "?": 1}, unk_token="?"), 0.5),
        (models.Unigram([("?", 0.0), ("moon", -1.0)], unk_id=0), 0.5),
        (models.BPE({"moon": 0, "ꙮ": 1}, []), 0.0),
    ],
    ids=["words", "unigram", "no unknown token"],
)
def test_any_kind_of_vocabulary(model, expected, tmp_path):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert unknown.share(tmp_path, ["moon ꙮ"], 512) == expected


def test_a_checkpoint_without_a_tokenizer_gets_no_note():
    assert list(unknown.notes(SimpleNamespace(), [Document("d", "ꙮ")], [Query("q", "ꙮ")])) == []


@pytest.mark.parametrize("family", ["colbert", "pylate"])
def test_other_families_say_it_too(family, tmp_path):
    encoder = load(str(both_kinds(tmp_path)[family]), "float32", "cpu")
    note, _ = unknown.notes(encoder, [Document("d", "fox ꙮ")], [Query("q", "ꙮ")])
    assert note.startswith("50% of the tokens of the documents")


def test_a_run_says_it_in_its_manifest_also_when_vectors_come_from_the_cache(tmp_path):
    folder = tmp_path / "strange"
    shutil.copytree(TINY, folder)
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    (folder / "queries.jsonl").write_text("\n".join(json.dumps(row | {"text": f"ꙮ ꙮ ꙮ {row['text']}"}) for row in rows))
    for output in ("first", "second"):
        run = harness.evaluate(dataset=str(folder), lengths=[16], arms="truncate", output=tmp_path / output)
        [note] = [note for note in run.manifest.notes if "[UNK]" in note]
        assert note.split("%")[1].startswith(" of the tokens of the queries are unknown to the checkpoint")
