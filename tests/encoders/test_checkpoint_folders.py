"""How folders of ColBERT checkpoints are told apart, named and, when damaged or malicious, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from harness import encoders
from harness.errors import DataError
from tests.encoders.test_checkpoints import (
    TEXTS,
    TOKENIZER,
    assert_equal,
    both_kinds,
    change,
    encode,
    forbid,
    opened,
    tiny,
    write,
)
from tests.encoders.test_encoders import refusal


@pytest.fixture(autouse=True)
def confined(monkeypatch):
    forbid(monkeypatch)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return both_kinds(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(params=["colbert", "pylate"])
def family(request) -> str:
    return request.param


@pytest.fixture
def copy(folders, family, tmp_path) -> Path:
    return Path(shutil.copytree(folders[family], tmp_path / family))


def test_queries_and_documents_never_share_a_recipe(folders, family):
    encoder = opened(folders[family])
    assert encoder.recipe("query") != encoder.recipe("document")
    assert json.loads(json.dumps(encoder.recipe("query"))) == encoder.recipe("query")


def test_families_are_told_apart_by_their_files(folders, tmp_path):
    both = Path(shutil.copytree(folders["pylate"], tmp_path / "both"))
    assert opened(both).recipe("query")["family"] == "pylate"
    shutil.copytree(folders["colbert"], both, dirs_exist_ok=True)
    assert opened(both).recipe("query")["family"] == opened(folders["colbert"]).recipe("query")["family"] == "colbert"
    assert encoders.load("minilm", "float32", "cpu").recipe("query")["family"] == "transformer"


NAMES = {"colbert": ["artifact.metadata"], "pylate": ["2_Dense/model.safetensors", "config_sentence_transformers.json"]}


def test_the_fingerprint_is_of_the_content_not_the_place(folders, family, copy):
    fingerprint = opened(folders[family]).fingerprint
    assert opened(copy).fingerprint == fingerprint
    for name in (*NAMES[family], "model.safetensors", "tokenizer.json", "config.json"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content.replace(b"12", b"13", 1) if b"12" in content else content + b" ")
        assert opened(copy).fingerprint != fingerprint, name
        (copy / name).write_bytes(content)


def test_a_checkpoint_is_opened_without_its_weights_being_read(copy):
    (copy / "model.safetensors").write_bytes(b"damaged")
    encoder = opened(copy)
    assert encoder.fingerprint and encoder.recipe("query")
    with pytest.raises(DataError):
        encode(encoder, ["fox"], "query")


class Bomb:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def pickled(path):
    (path / "model.safetensors").unlink()
    torch.save({"linear.weight": Bomb(path / "exploded")}, path / "pytorch_model.bin")


def lacking(path, name):
    from safetensors.torch import load_file

    weights = load_file(path)
    del weights[name]
    write(path, weights)


def more_tokens(folder):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["surplus"])
    tokenizer.save_pretrained(folder)


CONFIG, METADATA, SENTENCE = "config.json", "artifact.metadata", "config_sentence_transformers.json"
DAMAGES = {
    "colbert": {
        "no config": (lambda at: (at / CONFIG).unlink(), CONFIG),
        "no tokenizer": (lambda at: [(at / name).unlink(missing_ok=True) for name in TOKENIZER], "tokenizer.json"),
        "pickled": (pickled, "model.safetensors"),
        "metadata": (lambda at: (at / METADATA).write_text("{"), METADATA),
        "kind": (lambda at: change(at / METADATA, query_maxlen="12"), METADATA),
        "length": (lambda at: change(at / METADATA, query_maxlen=65), METADATA),
        "dimension": (lambda at: change(at / METADATA, dim=17), METADATA),
        "projection": (lambda at: lacking(at / "model.safetensors", "linear.weight"), "'linear.weight'"),
        "layer": (lambda at: lacking(at / "model.safetensors", "bert.encoder.layer.1.output.dense.bias"), "layer.1"),
        "vocabulary": (more_tokens, "model.safetensors"),
        "truncated": (lambda at: (at / "model.safetensors").write_bytes(b"damaged"), "model.safetensors"),
        "misshapen": (lambda at: change(at / CONFIG, intermediate_size=80), "cannot be loaded"),
        "unknown model": (lambda at: change(at / CONFIG, model_type="no-such-model"), "cannot be loaded"),
    },
    "pylate": {
        "no config": (lambda at: (at / CONFIG).unlink(), CONFIG),
        "no tokenizer": (lambda at: [(at / name).unlink(missing_ok=True) for name in TOKENIZER], "tokenizer.json"),
        "no modules": (lambda at: (at / "modules.json").unlink(), "modules.json"),
        "no dense": (
            lambda at: (at / "modules.json").write_text('[{"type": "a.Transformer", "path": ""}]'),
            "modules.json",
        ),
        "stranger": (lambda at: (at / "modules.json").write_text('[{"type": "a.Evil", "path": ""}]'), "Evil"),
        "pickled": (pickled, "model.safetensors"),
        "pickled dense": (lambda at: pickled(at / "1_Dense"), "1_Dense"),
        "settings": (lambda at: (at / SENTENCE).write_text("{"), SENTENCE),
        "kind": (lambda at: change(at / SENTENCE, skiplist_words="!?"), SENTENCE),
        "length": (lambda at: change(at / SENTENCE, query_length=65), SENTENCE),
        "prefix": (lambda at: change(at / SENTENCE, query_prefix="[X] "), "[X] "),
        "dimension": (lambda at: change(at / "2_Dense" / CONFIG, in_features=25), "2_Dense"),
        "shape": (lambda at: change(at / "2_Dense" / CONFIG, out_features=17), "2_Dense"),
        "bias": (lambda at: lacking(at / "1_Dense" / "model.safetensors", "linear.bias"), "linear.bias"),
        "activation": (lambda at: change(at / "1_Dense" / CONFIG, activation_function="os.getcwd"), "os.getcwd"),
        "layer": (lambda at: lacking(at / "model.safetensors", "encoder.layer.1.output.dense.bias"), "layer.1"),
        "vocabulary": (more_tokens, "model.safetensors"),
        "truncated dense": (lambda at: (at / "1_Dense" / "model.safetensors").write_bytes(b"damaged"), "1_Dense"),
    },
}


@pytest.mark.parametrize("family, kind", [(family, kind) for family, kinds in DAMAGES.items() for kind in kinds])
def test_a_damaged_checkpoint_is_refused_in_one_line_that_names_what_is_wrong(folders, tmp_path, family, kind):
    folder = Path(shutil.copytree(folders[family], tmp_path / "damaged"))
    damage, names = DAMAGES[family][kind]
    damage(folder)
    line = refusal(folder)
    assert str(folder) in line and names in line
    assert not list(folder.rglob("exploded"))


@pytest.mark.parametrize("name", [CONFIG, "tokenizer_config.json"])
def test_code_of_a_checkpoint_is_not_run(folders, tmp_path, name):
    folder = Path(shutil.copytree(folders["colbert"], tmp_path / "code"))
    (folder / "evil.py").write_text(
        f"open({str(folder / 'exploded')!r}, 'w')\nclass EvilModel: pass\nEvilConfig = EvilModel"
    )
    kinds = ("AutoConfig", "AutoModel", "AutoTokenizer")
    change(folder / name, model_type="evil", auto_map={kind: f"evil.Evil{kind[4:]}" for kind in kinds})
    line = refusal(folder)
    assert str(folder / name) in line and "--trust-remote-code" in line and not (folder / "exploded").exists()


CODE = """
import transformers
open({mark!r}, "w")
class OddConfig(transformers.BertConfig):
    model_type = "odd"
class OddModel(transformers.BertModel):
    config_class = OddConfig
"""


def test_code_of_a_checkpoint_is_run_if_trusted_and_is_part_of_what_it_is(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    plain = Path(shutil.copytree(folders["colbert"], tmp_path / "plain"))
    (plain / METADATA).unlink()
    write(plain / "model.safetensors", tiny(tmp_path / "other"))
    folder = Path(shutil.copytree(plain, tmp_path / "odd"))
    (folder / "odd.py").write_text(CODE.format(mark=str(folder / "ran")))
    change(folder / CONFIG, model_type="odd", auto_map={"AutoConfig": "odd.OddConfig", "AutoModel": "odd.OddModel"})
    assert "--trust-remote-code" in refusal(folder) and not (folder / "ran").exists()
    trusted = encoders.load(str(folder), "float32", "cpu", trust=True)
    assert_equal(encode(trusted, TEXTS[1:], "document"), encode(opened(plain), TEXTS[1:], "document"))
    assert (
        (folder / "ran").exists() and trusted.code and not encoders.load(str(plain), "float32", "cpu", trust=True).code
    )
    (folder / "odd.py").write_text("# changed")
    assert encoders.load(str(folder), "float32", "cpu", trust=True).fingerprint != trusted.fingerprint


def test_a_model_name_in_the_metadata_is_not_asked_for(folders, tmp_path):
    folder = Path(shutil.copytree(folders["colbert"], tmp_path / "named"))
    evil = Path(shutil.copytree(folders["colbert"], tmp_path / "evil"))
    (evil / "evil.py").write_text(f"open({str(evil / 'exploded')!r}, 'w')\nclass EvilConfig: pass")
    change(evil / CONFIG, model_type="evil", auto_map={"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"})
    change(folder / METADATA, model_name=str(evil))
    got = encode(opened(folder), TEXTS, "query")
    assert not (evil / "exploded").exists()
    assert_equal(got, encode(opened(folders["colbert"]), TEXTS, "query"))
