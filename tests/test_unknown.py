"""What a checkpoint's vocabulary does not know is said, with the share, whatever the order of the texts."""

from __future__ import annotations

import random

import harness
from harness.encoders import load
from harness.encoders.unknown import MUCH, notes, share
from harness.records import Document, Query

KNOWN = [Document(f"d{at}", f"the tide is high at the harbour in the evening, boat {at}") for at in range(8)]
STRANGE = [Document(f"x{at}", "ᚠᚢᚦᚨᚱᚲ ᚷᚹᚺᚾᛁᛃ ᛇᛈᛉᛊᛏᛒ " * 3) for at in range(8)]
ASKED = [Query("q", "when is the tide high")]


def test_a_share_of_unknown_tokens_is_a_note():
    encoder = load("minilm", "float32", "cpu")
    assert list(notes(encoder, KNOWN, ASKED)) == []
    [line] = notes(encoder, KNOWN + STRANGE, ASKED)
    assert "of the tokens of the documents are unknown" in line and "[UNK]" in line
    [line] = notes(encoder, KNOWN, [Query("q", "ᚠᚢᚦᚨᚱᚲ")])
    assert line.startswith("100% of the tokens of the queries")


def test_the_share_is_counted_and_order_decides_nothing():
    encoder = load("minilm", "float32", "cpu")
    texts = [one.text for one in KNOWN + STRANGE]
    assert share(encoder.folder, [one.text for one in KNOWN], 256) == 0
    assert share(encoder.folder, texts, 256) > MUCH
    many = [Document(f"{kind.id}-{at}", kind.text) for at in range(60) for kind in KNOWN + STRANGE]
    shuffled = random.Random(0).sample(many, len(many))
    assert list(notes(encoder, many, ASKED)) == list(notes(encoder, shuffled, ASKED)) != []


def test_a_run_says_it(tmp_path):
    (tmp_path / "runes" / "qrels").mkdir(parents=True)
    lines = "".join(f'{{"_id": "{one.id}", "text": "{one.text}"}}\n' for one in STRANGE)
    (tmp_path / "runes" / "corpus.jsonl").write_text(lines)
    (tmp_path / "runes" / "queries.jsonl").write_text('{"_id": "q", "text": "when is the tide high"}\n')
    (tmp_path / "runes" / "qrels" / "test.tsv").write_text("q\tx0\t1\n")
    run = harness.evaluate(dataset=str(tmp_path / "runes"), candidates="exact", arms="truncate", lengths=[8],
                           output=tmp_path / "runs")  # fmt: skip
    assert any("of the tokens of the documents are unknown" in note for note in run.manifest.notes)
