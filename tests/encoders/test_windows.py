"""Documents longer than the model: windows against loops, and what a cut loses."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import encoders
from harness.encoders import cut
from harness.encoders.windows import Windows, central
from harness.errors import OptionError
from harness.records import Document
from tests.conftest import TINY, documents
from tests.encoders.test_checkpoints import WORDS, both_kinds, encode, forbid, tiny, write

POSITIONS = 64
SIZES = st.tuples(st.integers(1, 400), st.integers(1, 60), st.integers(1, 60)).filter(
    lambda sizes: sizes[1] < sizes[0] and sizes[2] <= sizes[1]
)
LONG = " ".join((WORDS * 20)[:200])
FAMILIES = ("transformer", "colbert", "pylate")


@pytest.fixture(autouse=True)
def confined(monkeypatch):
    forbid(monkeypatch)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    plain = root / "plain"
    write(plain / "model.safetensors", tiny(plain))
    return {**both_kinds(root), "transformer": plain}


def opened(folder: Path, windows: Windows | None = None):
    return encoders.load(str(folder), "float32", "cpu", windows=windows)


@given(SIZES)
def test_windows_cover_a_text_in_order_and_each_token_comes_from_where_it_is_most_central(sizes):
    count, room, stride = sizes
    starts = Windows(None, stride).starts(count, room)
    assert starts[0] == 0 and starts[-1] + room == count and starts == sorted(set(starts))
    assert all(after - start <= stride for start, after in itertools.pairwise(starts))
    owners = [window for window, (begin, end) in enumerate(central(starts, count, room)) for _ in range(begin, end)]
    assert len(owners) == count
    for token, owner in enumerate(owners):
        assert starts[owner] <= token < starts[owner] + room
        distances = [abs(2 * token - (2 * start + room - 1)) for start in starts]
        assert owner == distances.index(min(distances))


@pytest.mark.parametrize("stride", [0, 11])
def test_a_stride_that_would_leave_tokens_out_is_refused(stride):
    with pytest.raises(OptionError, match="stride"):
        Windows(None, stride).starts(30, 10)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_that_fit_are_encoded_as_without_windows(folders, family):
    texts = ["", "fox", "a lazy dog, watch!", " ".join((WORDS * 9)[:60])]
    whole = encode(opened(folders[family]), texts, "document")
    windowed = encode(opened(folders[family], Windows()), texts, "document")
    for one, other in zip(whole, windowed, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("windows", [Windows(), Windows(24), Windows(24, 5), Windows(40, 30)], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_text_is_one_stream_of_its_tokens(folders, family, windows):
    text = LONG.replace("dog", "dog,")
    encoder = opened(folders[family], windows)
    [vectors] = encode(encoder, [text], "document")
    first = {"transformer": ["[CLS]"], "colbert": ["[CLS]", "[unused1]"], "pylate": ["[CLS]", "[D] "]}[family]
    comma = [","] if family == "transformer" else []
    words = [token for word in text.split() for token in ([word[:-1], *comma] if word.endswith(",") else [word])]
    assert encoder.tokens(text, "document") == [*first, *words, "[SEP]"]
    assert len(vectors) == len(first) + len(words) + 1
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_the_windows_alone(folders, family):
    """Each window encoded as a text of its own, and the vector of every token chosen by a loop."""
    size, stride, words = 24, 7, LONG.split()
    frame = 2 if family == "transformer" else 3
    [vectors] = encode(opened(folders[family], Windows(size, stride)), [LONG], "document")
    room, before = size - frame, frame - 1
    starts = [*range(0, len(words) - room, stride), len(words) - room]
    windows = encode(opened(folders[family]), [" ".join(words[start : start + room]) for start in starts], "document")
    expected = [*windows[0][:before]]
    for token in range(len(words)):
        nearest = min(range(len(starts)), key=lambda window: abs(token - starts[window] - (room - 1) / 2))
        expected.append(windows[nearest][before + token - starts[nearest]])
    np.testing.assert_array_equal(vectors, np.array([*expected, windows[-1][-1]]))


def test_queries_are_read_as_without_windows(folders):
    for family in FAMILIES:
        whole, windowed = opened(folders[family]), opened(folders[family], Windows(24, 5))
        for one, other in zip(*(encode(encoder, [LONG], "query") for encoder in (whole, windowed)), strict=True):
            np.testing.assert_array_equal(one, other)
        assert whole.recipe("query") == windowed.recipe("query")
        assert whole.recipe("document") != windowed.recipe("document")


def test_a_prompt_stands_before_every_window(folders, tmp_path):
    folder = Path(shutil.copytree(folders["pylate"], tmp_path / "pylate"))
    path = folder / "config_sentence_transformers.json"
    metadata = json.loads(path.read_text()) | {"prompts": {"x": "quick brown "}, "default_prompt_name": "x"}
    path.write_text(json.dumps(metadata))
    reading = opened(folder, Windows(24, 5))._read("document")
    [rows] = reading.rows([LONG])
    assert len(rows) > 3
    for row in rows:
        assert reading.tokenizer.convert_ids_to_tokens(row.ids[2:4].tolist()) == ["quick", "brown"]
    assert reading.strings(LONG) == ["[CLS]", "[D] ", "quick", "brown", *LONG.split(), "[SEP]"]


def test_a_window_is_no_longer_than_the_model_and_only_texts_have_them(folders):
    with pytest.raises(OptionError, match="window 65: the model takes 64"):
        opened(folders["transformer"], Windows(65))
    with pytest.raises(OptionError, match="leave --long out"):
        encoders.load("concepts", "float32", "cpu", windows=Windows())
    with pytest.raises(OptionError, match="a window holds 1 tokens"):
        encode(opened(folders["colbert"], Windows(4, 2)), [LONG], "document")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_cut_loses_is_counted(folders, family):
    texts, frame = (
        [LONG, "fox", " ".join(LONG.split()[:61]), " ".join(LONG.split()[:63])],
        2 + (family != "transformer"),
    )
    room = POSITIONS - frame
    expected = [max(0, len(text.split()) - room) for text in texts]
    tokens = sum(len(text.split()) for text in texts)
    assert cut.count(opened(folders[family]), texts) == (sum(map(bool, expected)), sum(expected), tokens)


def test_a_sample_does_not_depend_on_the_order(monkeypatch):
    items = [Document(f"d{at}", "word " * (at % 5 + 1)) for at in range(200)]
    assert cut.sample(items) == items
    monkeypatch.setattr(cut, "LETTERS", 900)
    some = cut.sample(items)
    assert 0 < len(some) < 100 and cut.sample(items[::-1]) == some


def test_a_run_says_what_the_cut_loses_and_nothing_where_nothing_is_lost(folders, tmp_path):
    data = tmp_path / "long"
    shutil.copytree(TINY, data)
    asked = {"dataset": str(data), "lengths": [16], "arms": "truncate", "checkpoint": str(folders["transformer"])}
    rows = [json.loads(line) for line in (data / "corpus.jsonl").read_text().splitlines()]
    rows = [{**row, "title": "", "text": "fox dog"} for row in rows]
    rows[0]["text"] = LONG
    (data / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run = harness.evaluate(**asked, output=tmp_path / "cut")
    [note] = [note for note in run.manifest.notes if "--long windows" in note]
    assert note.startswith(f"1 of {len(rows):,} documents are longer than the 64 tokens")
    assert f"{138 / (200 + 2 * (len(rows) - 1)):.1%} of all tokens are cut off" in note
    windowed = harness.evaluate(**asked, long="windows", window=32, output=tmp_path / "windows")
    assert not [note for note in windowed.manifest.notes if "--long windows" in note]
    assert any("2 to" not in note and "202 patches" in note for note in windowed.manifest.notes)
    assert windowed.manifest.config["long"] == "windows" and "long" not in run.manifest.config
    assert len(documents([LONG])) == 1


@pytest.mark.parametrize("given", [{"window": 32}, {"stride": 4}, {"window": 32, "stride": 4}], ids=str)
def test_sizes_of_windows_without_windows_are_refused(given):
    with pytest.raises(OptionError, match="only for --long windows"):
        harness.evaluate(dataset=str(TINY), **given)
