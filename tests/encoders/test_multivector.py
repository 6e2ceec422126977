"""Folders that sentence-transformers' MultiVectorEncoder saves, against the package itself."""

from __future__ import annotations

import itertools
import json
import shutil
import string
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import encoders
from harness.errors import DataError
from tests.encoders.test_checkpoints import TEXTS, change, encode, forbid, opened, tiny, write
from tests.encoders.test_encoders import refusal

pytest.importorskip("sentence_transformers", "6", reason="MultiVectorEncoder is of sentence-transformers 6")

DIM, LENGTH, POSITIONS = 8, 12, 64
FIXED = {"strategy": "fixed", "length": LENGTH}
PROMPTS = {"query": "quick ", "document": "lazy "}
PUNCTUATION = list(string.punctuation)
SAVED = {
    "plain": {},
    "expanded": {"expansion": FIXED, "skiplist": PUNCTUATION},
    "attended": {"expansion": {**FIXED, "attend": True}, "prompts": PROMPTS},
    "floor": {"expansion": {**FIXED, "strategy": "min"}, "prompts": PROMPTS, "skiplist": PUNCTUATION},
    "token": {"expansion": {**FIXED, "token": "fox"}, "skiplist": ["fox", "no such word"]},
    "cut queries": {"query_length": 7, "skiplist": PUNCTUATION, "skiplist_tasks": ["query", "document"]},
    "skipped fill": {"expansion": {**FIXED, "token": "!"}, "skiplist": ["!"], "skiplist_tasks": ["query"]},
    "allowed": {"expansion": FIXED, "only": [7, 10, 15]},
    "not normalised": {"normalises": False},
    "two layers": {"layers": 2, "expansion": FIXED},
    "lower": {"lower": True, "prompts": {"query": "QUICK "}},
}


@pytest.fixture(autouse=True)
def confined(monkeypatch):
    forbid(monkeypatch)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("backbone") / "bert"
    write(folder / "model.safetensors", tiny(folder))
    return folder


def save(folder: Path, backbone: Path, **asked) -> Path:
    """A folder as the package saves it, with random layers."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    torch.manual_seed(5)
    transformer = Transformer(
        str(backbone),
        query_expansion=asked.get("expansion"),
        query_length=asked.get("query_length"),
        do_lower_case=asked.get("lower", False),
    )
    widths = [32, 16, DIM] if asked.get("layers") == 2 else [32, DIM]
    modules = [transformer]
    for at, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        activation = torch.nn.Tanh() if at + 2 < len(widths) else torch.nn.Identity()
        modules.append(
            Dense(
                wide,
                narrow,
                bias=at > 0,
                activation_function=activation,
                module_input_name="token_embeddings",
                use_residual=at > 0,
            )
        )
    keep = {"skiplist_tasks": asked.get("skiplist_tasks"), "keep_only_token_ids": asked.get("only")}
    modules.append(MultiVectorMask(asked.get("skiplist"), **keep))
    modules += [Normalize("token_embeddings")] if asked.get("normalises", True) else []
    model = MultiVectorEncoder(modules=modules, prompts=asked.get("prompts"), device="cpu")
    model.save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory, backbone) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("saved")
    return {name: save(root / name, backbone, **asked) for name, asked in SAVED.items()}


def by_the_package(folder: Path, texts, role: str) -> list[np.ndarray]:
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(folder), device="cpu")
    return (model.encode_query if role == "query" else model.encode_document)(texts, convert_to_numpy=True)


@pytest.mark.parametrize("role", ["document", "query"])
@pytest.mark.parametrize("name", SAVED)
def test_vectors_are_the_packages(folders, name, role):
    encoder = opened(folders[name])
    assert encoder.recipe(role)["family"] == "multivector"
    texts = [*TEXTS, "THE Fox [MASK] jumps [SEP] over"]
    ours, package = encode(encoder, texts, role), by_the_package(folders[name], texts, role)
    for text, vectors, expected in zip(texts, ours, package, strict=True):
        assert vectors.dtype == np.float16 and vectors.shape == expected.shape
        np.testing.assert_allclose(vectors, expected, atol=1e-3, rtol=1e-3)
        assert len(encoder.tokens(text, role)) == len(vectors)


def test_documents_are_read_to_the_models_positions(folders, backbone, tmp_path):
    folder = Path(shutil.copytree(folders["plain"], tmp_path / "short"))
    change(folder / "sentence_bert_config.json", document_length=9)
    assert len(encode(opened(folder), ["fox " * 90], "document")[0]) == POSITIONS


def test_the_fingerprint_is_of_every_module(folders, tmp_path):
    folder = Path(shutil.copytree(folders["expanded"], tmp_path / "copy"))
    fingerprint = opened(folder).fingerprint
    assert fingerprint == opened(folders["expanded"]).fingerprint
    change(folder / "2_MultiVectorMask" / "config.json", skiplist_words=["fox"])
    assert opened(folder).fingerprint != fingerprint


def test_scores_over_the_querys_tokens_are_said_in_a_note(folders, tmp_path):
    folder = Path(shutil.copytree(folders["plain"], tmp_path / "mean"))
    assert not opened(folder).notes
    change(folder / "config_sentence_transformers.json", similarity_fn_name="meanmaxsim")
    assert "meanmaxsim" in opened(folder).notes[0]


CONFIG, TRANSFORMER = "config_sentence_transformers.json", "sentence_bert_config.json"


def listed(at: Path, *kinds: str) -> None:
    modules = json.loads((at / "modules.json").read_text())
    for module, kind in zip(modules, kinds, strict=False):
        module["type"] = kind
    (at / "modules.json").write_text(json.dumps(modules[: len(kinds)]))


DAMAGES = {
    "sparse": (lambda at: change(at / CONFIG, model_type="SparseEncoder"), "SparseEncoder"),
    "pooling": (
        lambda at: listed(at, "a.Transformer", "a.Dense", "a.HierarchicalTokenPooling"),
        "HierarchicalTokenPooling",
    ),
    "static": (lambda at: listed(at, "a.StaticEmbedding"), "StaticEmbedding"),
    "no mask": (lambda at: listed(at, "a.Transformer", "a.Dense"), "MultiVectorMask"),
    "stream": (lambda at: change(at / "1_Dense/config.json", module_input_name="sentence_embedding"), "1_Dense"),
    "chat": (lambda at: change(at / TRANSFORMER, modality_config={"message": {}}), "modality_config"),
    "task": (lambda at: change(at / TRANSFORMER, transformer_task="fill-mask"), "fill-mask"),
    "strategy": (lambda at: change(at / TRANSFORMER, query_expansion={"strategy": "odd"}), "odd"),
    "length": (
        lambda at: change(at / TRANSFORMER, query_expansion={"strategy": "fixed", "length": 65}),
        "length is 65",
    ),
    "query length": (lambda at: change(at / TRANSFORMER, query_length="7"), "'7'"),
    "token": (
        lambda at: change(at / TRANSFORMER, query_expansion={"strategy": "fixed", "length": 9, "token": "absent"}),
        "absent",
    ),
    "skiplist": (lambda at: change(at / "2_MultiVectorMask/config.json", skiplist_words="!"), "2_MultiVectorMask"),
    "weights": (lambda at: (at / "1_Dense/model.safetensors").unlink(), "1_Dense"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_not_supported_is_refused_in_one_line_that_names_it(folders, tmp_path, kind):
    folder = Path(shutil.copytree(folders["expanded"], tmp_path / "damaged"))
    damage, names = DAMAGES[kind]
    damage(folder)
    if kind == "token":
        with pytest.raises(DataError) as caught:
            encode(encoders.load(str(folder), "float32", "cpu"), ["fox"], "query")
        [line] = caught.value.problems
    else:
        line = refusal(folder)
    assert str(folder) in line and names in line
