"""Page-image checkpoints against colpali-engine itself, on tiny random models of its own classes."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import cli, encoders
from harness.commands.alignment import explain
from harness.commands.context import RunContext
from harness.commands.prepare import prepare
from harness.commands.stress import StressConfig, injections
from harness.encoders import colpali
from harness.engines.local import Local
from harness.errors import DataError
from harness.files import checksum
from harness.options import resolve
from harness.progress import Stages
from harness.records import Candidates, Document, Page, Query
from tests import conftest
from tests.encoders import vision

pytestmark = pytest.mark.filterwarnings("ignore")
ADAPTER = "adapter_model.safetensors"
QUERIES = [Query("a", "short"), Query("b", "a much longer query than the other one"), Query("c", "")]
MAKE = {
    "ColQwen2": vision.qwen,
    "ColQwen2_5": lambda folder: vision.qwen(folder, "ColQwen2_5"),
    "ColIdefics3": vision.idefics,
    "ColPali": vision.gemma,
    "ColPaliForRetrieval": lambda folder: vision.native(folder, "ColPaliForRetrieval"),
    "ColQwen2ForRetrieval": lambda folder: vision.native(folder, "ColQwen2ForRetrieval"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: make(root / name) for name, make in MAKE.items()}


@pytest.fixture(scope="module")
def adapter(folders, tmp_path_factory) -> Path:
    """A trained LoRA adapter of the ColQwen2 beside it, with its tokenizer and image processor, as hubs hold them."""
    import peft
    from colpali_engine.models import ColQwen2

    folder = tmp_path_factory.mktemp("adapter")
    model = ColQwen2.from_pretrained(folders["ColQwen2"])
    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*(q_proj|v_proj)|custom_text_proj")
    model = peft.get_peft_model(model, config)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    model.save_pretrained(folder)
    for path in folders["ColQwen2"].iterdir():
        if "token" in path.name or path.name == "preprocessor_config.json":
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return vision.folder_of_pages(tmp_path_factory.mktemp("data") / "pages", ["p0", "<script>", "p2", "p3", "p4"])


@pytest.fixture(scope="module")
def pages(data) -> list[Document]:
    return [Document(path.stem, "", Page(path, "")) for path in sorted((data / "images").iterdir())]


def opened(folder, dtype="float32"):
    return encoders.load(str(folder), dtype, "cpu")


def encode(encoder, items, role):
    found = {}
    for batch in encoder.encode(items, role):
        assert not found.keys() & {at for at, _ in batch}
        found |= dict(batch)
    return [found[at] for at in range(len(items))]


def by_the_engine(name, folder, items, processed=None):
    """colpali-engine's own vectors, one item at a time."""
    import colpali_engine.models as engine
    import transformers
    from PIL import Image

    module = transformers if name.endswith("ForRetrieval") else engine
    ending = "_Processor" if name == "ColQwen2_5" else "Processor"
    kind, processed = getattr(module, name.removesuffix("ForRetrieval") + ending), processed or folder
    if "Qwen" in name and hasattr(kind, "attributes"):  # transformers 4 asks torchvision for a video processor
        kind = type(kind.__name__, (kind,), {"attributes": ["image_processor", "tokenizer"]})
        images = transformers.AutoImageProcessor.from_pretrained(processed, use_fast=False)
        processor = kind(images, transformers.AutoTokenizer.from_pretrained(processed))
    else:
        processor = kind.from_pretrained(processed)
    if hasattr(processor.image_processor, "backend"):  # transformers 5 resizes by torchvision if it may choose
        pillow = getattr(transformers, f"{type(processor.image_processor).__name__}Pil")
        processor.image_processor = pillow.from_pretrained(processed)
    model = getattr(module, name).from_pretrained(folder, dtype=torch.float32).eval()
    for item in items:
        page = isinstance(item, Document)
        inputs = (
            processor.process_images([Image.open(item.page.path)]) if page else processor.process_queries([item.text])
        )
        with torch.no_grad():
            made = model(**inputs)
        yield getattr(made, "embeddings", made)[0].numpy()


@pytest.mark.parametrize("name", MAKE)
def test_vectors_are_the_engines_of_one_item_alone(folders, pages, name, monkeypatch):
    monkeypatch.setattr(colpali, "PAGES", 2)
    encoder, pages = opened(folders[name]), pages[:3]
    assert type(encoder).__name__ == "ColPali" and encoder.recipe("query")["class"] == name
    for role, items in (("document", pages), ("query", QUERIES)):
        made, expected = encode(encoder, items, role), list(by_the_engine(name, folders[name], items))
        for one, other in zip(made, expected, strict=True):
            assert one.dtype == np.float16 and one.shape == other.shape
            np.testing.assert_allclose(one, other, atol=1e-3)
            np.testing.assert_allclose(np.linalg.norm(one.astype(float), axis=1), 1, atol=2e-3)
    assert len({len(one) for one in made}) > 1, "a batch with padding is what is asked"
    assert abs(expected[0][-1] - expected[1][-1]).max() > 0.01


def test_an_adapter_is_read_on_its_base(folders, adapter, pages):
    encoder, base = opened(adapter), opened(folders["ColQwen2"])
    made = encode(encoder, pages[:2], "document")
    expected = by_the_engine("ColQwen2", adapter, pages[:2], processed=folders["ColQwen2"])
    for one, other, bare in zip(made, expected, encode(base, pages[:2], "document"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
        assert abs(one - bare).max() > 0.01
    assert encoder.fingerprint != base.fingerprint and encoder.recipe("document") == base.recipe("document")


def test_tokens_and_patches_name_every_vector(folders, pages):
    for name, folder in folders.items():
        encoder = opened(folder)
        for query, one in zip(QUERIES, encode(encoder, QUERIES, "query"), strict=True):
            words = encoder.tokens(query.text, "query")
            assert len(words) == len(one) and len(set(words[-10:-1])) == 1, "ends with the engine's suffix"
        for page, one in zip(pages[:2], encode(encoder, pages[:2], "document"), strict=True):
            names = encoders.names(encoder, page)
            patches = [patch for patch in names if patch.startswith("patch ")]
            assert len(names) == len(one) and len(set(patches)) == len(patches) > 10
            if name != "ColIdefics3":
                rows, columns = 1 + np.array([patch[6:].split(",") for patch in patches], int).max(axis=0)
                assert rows * columns == len(patches) and (columns > rows) == ("ColPali" not in name), "pages are wide"


def test_bfloat16_is_close_and_recorded(folders, pages):
    exact, short = opened(folders["ColQwen2"]), opened(folders["ColQwen2"], "bfloat16")
    one, other = (np.concatenate(encode(encoder, pages, "document")).astype(float) for encoder in (exact, short))
    assert (one != other).any() and np.median((one * other).sum(axis=1)) > 0.99
    assert exact.recipe("query") != short.recipe("query") and exact.recipe("query") != exact.recipe("document")


def run(monkeypatch, tmp_path, *arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_eval_of_pages_gives_tables(folders, data, tmp_path, monkeypatch, capsys):
    given = ["--dataset", data, "--checkpoint", folders["ColQwen2"], "--pool", "maxsim,topk:4", "--lengths", "8,32"]
    assert run(monkeypatch, tmp_path, "eval", *given) == 0
    shown = capsys.readouterr().out
    assert "maxsim" in shown and "topk:4" in shown and "L = 32" in shown and "Arm pad" in shown
    [folder] = (tmp_path / "runs").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["versions"]["colpali-engine"] and any("to 53 patches" in note for note in manifest["notes"])
    rankings = gzip.decompress((folder / "rankings" / "truncate" / "topk:4" / "L32.trec.gz").read_bytes()).decode()
    assert len(rankings.splitlines()) == 25 and " <script> " in rankings


def test_explain_names_the_places_of_a_page(folders, data):
    config = resolve(StressConfig, dataset=str(data), checkpoint=str(folders["ColQwen2"]), counts=[0, 4], pool="maxsim")
    inputs = prepare(config, RunContext(Stages(), Local()))
    rows = np.arange(5)[None].repeat(5, axis=0)
    found = explain(
        "q1", injections(config), inputs, Candidates(inputs.queries.ids, inputs.documents.ids, rows, "exact", 1.0)
    )
    names = encoders.names(inputs.encoder, inputs.dataset.documents[0])
    assert [names[at] for at in found["before_patch"]] == found["before_text"].tolist() and len(found) > 10


def test_text_models_and_bm25_refuse_pages_in_one_line(folders, data, tmp_path, monkeypatch, capsys):
    tiny = conftest.TINY
    for given, words in (
        (["--dataset", data], "5 documents are page images without text"),
        (["--dataset", data, "--checkpoint", folders["ColQwen2"], "--candidates", "bm25"], "the pages have no text"),
        (["--dataset", tiny, "--checkpoint", folders["ColQwen2"]], "but the checkpoint reads page images"),
    ):
        assert run(monkeypatch, tmp_path, "eval", *given) == 2
        [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("harness: ")]
        assert words in line


@pytest.fixture
def copy(folders, tmp_path) -> Path:
    return Path(shutil.copytree(folders["ColQwen2"], tmp_path / "copy"))


def weights(folder, change, name="model.safetensors"):
    from safetensors.torch import load_file, save_file

    found = load_file(folder / name)
    change(found)
    save_file(found, folder / name, {"format": "pt"})


def sharded(folder):
    index = {"metadata": {}, "weight_map": {"custom_text_proj.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def pickled(folder):
    sharded(folder)
    index = {"weight_map": {"a": "../pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def other(folder):
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(folder.parent / "plain")}))
    (folder.parent / "plain").mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda at: (at / "model.safetensors").unlink(), "copy has no model.safetensors; fetch"),
        (lambda at: (at / "model.safetensors").write_bytes(b"damaged"), "model.safetensors cannot be read"),
        (sharded, "'model-00001-of-00002.safetensors', which is missing"),
        (pickled, "'../pytorch_model.bin'; weights are read from safetensors files beside it alone"),
        (lambda at: (at / "preprocessor_config.json").unlink(), "has no preprocessor_config.json"),
        (lambda at: [path.unlink() for path in [*at.glob("tok*"), *at.glob("vocab*")]], "has no tokenizer.json"),
        (lambda at: (at / "preprocessor_config.json").write_text("{"), "copy cannot be loaded"),
        (
            lambda at: weights(at, lambda w: w["custom_text_proj.weight"].fill_(torch.nan)),
            "model.safetensors: custom_text_proj.weight holds NaN",
        ),
        (
            lambda at: weights(at, lambda w: w.update({"custom_text_proj.weight": torch.ones(64, 32)})),
            "custom_text_proj.weight has shape [64, 32], but ColQwen2 gives vectors of 128 dimensions",
        ),
        (lambda at: weights(at, lambda w: w.pop("custom_text_proj.bias")), "its weights lack 'custom_text_proj.bias'"),
        (other, "names the architecture nothing; adapters are read of ColPali, ColQwen2"),
    ],
    ids=range(11),
)
def test_a_broken_checkpoint_is_one_line_that_names_the_file(copy, pages, damage, words):
    damage(copy)
    with pytest.raises(DataError) as found:
        encode(opened(copy), pages[:1], "document")
    [line] = found.value.problems
    assert words in line


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda at: (at / ADAPTER).rename(at / "adapter_model.bin"), "no adapter_model.safetensors"),
        (
            lambda at: weights(
                at, lambda w: [w.update({f"x.{name}": w.pop(name)}) for name in list(w)], "adapter_model.safetensors"
            ),
            "5 of 5 layers have no place in the base model",
        ),
        (lambda at: base(at, "/no/such/folder"), "base model '/no/such/folder' is no such folder"),
        (lambda at: base(at, None), "names no base_model_name_or_path"),
        (lambda at: base(at, str(at)), "is an adapter itself"),
    ],
    ids=range(5),
)
def test_a_broken_adapter_is_one_line_that_names_the_file(adapter, tmp_path, pages, damage, words):
    folder = Path(shutil.copytree(adapter, tmp_path / "copy"))
    damage(folder)
    with pytest.raises(DataError) as found:
        encode(opened(folder), pages[:1], "document")
    [line] = found.value.problems
    assert words in line


def base(folder, name):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": name}))


def test_a_missing_extra_is_one_line(folders, monkeypatch):
    find = encoders.colpali_files.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "colpali_engine" else find(name))
    with pytest.raises(DataError, match=r"pip install 'late-interaction-harness\[vision\]'"):
        opened(folders["ColQwen2"])


def test_a_page_that_cannot_be_processed_is_named(folders, tmp_path):
    path = vision.picture(tmp_path / "thin.png", 1, (6015, 15))
    with pytest.raises(DataError, match="cannot take 'thin': absolute aspect ratio"):
        encode(opened(folders["ColQwen2"]), [Document("thin", "", Page(path, checksum(path)))], "document")
