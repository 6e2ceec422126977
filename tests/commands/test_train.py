"""``harness train``, end to end: checkpoints that colbert-ai and PyLate's recipe read alike, refusals, resuming."""

from __future__ import annotations

import dataclasses
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import harness
from harness import encoders
from harness.encoders import formats
from harness.errors import DataError, OptionError
from harness.progress import Stages
from harness.runs import RunDirectory
from harness.vectors import store
from tests.conftest import documents
from tests.encoders.test_checkpoints import WORDS, by_colbert_ai, change, forbid, stanford, tiny, write
from tests.scoring.test_threads import unchanged_threads

TEXTS = ["the quick brown fox, jumps!", "a dog", "lazy - owls. watch; (seven) dog?"]
pytestmark = pytest.mark.filterwarnings("ignore")  # colbert-ai's use of torch is dated


@pytest.fixture(autouse=True)
def confined(monkeypatch):
    forbid(monkeypatch)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    """24 documents of four words, each with a query of two of them, judged in both splits."""
    folder = tmp_path_factory.mktemp("data") / "words"
    random = np.random.default_rng(0)
    (folder / "qrels").mkdir(parents=True)
    texts = [random.choice(WORDS, 4, replace=False).tolist() for _ in range(24)]
    rows = {"corpus": [" ".join(one) for one in texts], "queries": [" ".join(one[1:3]) for one in texts]}
    for name, kind in (("corpus", "d"), ("queries", "q")):
        lines = [json.dumps({"_id": f"{kind}{at}", "text": text}) for at, text in enumerate(rows[name])]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    judged = "\n".join(f"q{at}\td{at}\t1" for at in range(24))
    for split in ("train", "test"):
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}\n")
    return str(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> str:
    """A BERT without a projection."""
    folder = tmp_path_factory.mktemp("plain") / "bert"
    write(folder / "model.safetensors", tiny(folder))
    return str(folder)


@pytest.fixture
def question(dataset, plain) -> dict:
    return {
        "dataset": dataset,
        "checkpoint": plain,
        "dim": 16,
        "query_length": 8,
        "epochs": 3,
        "batch": 6,
        "rate": 0.01,
    }


@pytest.fixture(scope="module")
def trained(dataset, plain, tmp_path_factory) -> dict[str, Path]:
    """One training in every format, with queries grown and not, and the beginning it had."""
    root, made, grown = tmp_path_factory.mktemp("trained"), {}, {"expansion": "mask"}
    given_of = {"colbert": {}, "pylate": {"format": "pylate"}, "beginning": {"epochs": 0}}
    given_of |= {"colbert, grown": grown, "sentence-transformers": {"format": "sentence-transformers"}}
    given_of |= {f"{kind}, grown": {"format": kind, **grown} for kind in ("pylate", "sentence-transformers")}
    for name, given in given_of.items():
        one = {
            "dataset": dataset,
            "checkpoint": plain,
            "dim": 16,
            "query_length": 8,
            "epochs": 3,
            "rate": 0.01,
            **given,
        }
        [made[name]] = harness.train(**one, output=root / name).checkpoints
    return made


def vectors(checkpoint: Path, role: str) -> list[np.ndarray]:
    found = store.fetch(encoders.load(str(checkpoint), "float32", "cpu"), documents(TEXTS), role, Stages(False))
    return [found.of(at).astype(float) for at in range(len(TEXTS))]


def theirs(checkpoint: Path, role: str) -> list[np.ndarray]:
    """colbert-ai's vectors without its rows of zeros, which stand for padding."""
    return [one[one.any(axis=1)] for one in by_colbert_ai(checkpoint, TEXTS, role, 64)]


@pytest.mark.parametrize("role", ["document", "query"])
@pytest.mark.parametrize("grown", ["", ", grown"])
def test_colbert_ai_loads_what_was_trained_and_every_format_gives_its_vectors(trained, role, grown):
    expected = theirs(trained[f"colbert{grown}"], role)
    for name in ("colbert", "pylate", "sentence-transformers"):
        for one, other in zip(vectors(trained[name + grown], role), expected, strict=True):
            assert one.shape == other.shape and one.shape[1] == 16
            np.testing.assert_allclose(one, other, atol=1e-3)
    if not grown:
        before = vectors(trained["beginning"], role)
        assert max(np.abs(one - other).max() for one, other in zip(before, expected, strict=True)) > 0.01


@pytest.mark.parametrize("role", ["document", "query"])
@pytest.mark.parametrize("grown", ["", ", grown"])
def test_sentence_transformers_loads_its_format_and_gives_the_same_vectors(trained, role, grown):
    pytest.importorskip("sentence_transformers", "6")
    from sentence_transformers import MultiVectorEncoder

    folder = trained[f"sentence-transformers{grown}"]
    peer = MultiVectorEncoder(str(folder), device="cpu")
    expected = (peer.encode_query if role == "query" else peer.encode_document)(TEXTS, convert_to_numpy=True)
    for ours, package in zip(vectors(folder, role), expected, strict=True):
        assert ours.shape == package.shape
        np.testing.assert_allclose(ours, package, atol=1e-3)


@pytest.mark.parametrize("kind", ["colbert", "pylate", "sentence-transformers"])
def test_queries_have_a_vector_for_each_token_and_masks_only_where_they_are_grown(trained, kind):
    for grown, tokens in (("", ["[CLS]", "[unused0]", "a", "dog", "[SEP]"]), (", grown", None)):
        encoder = encoders.load(str(trained[kind + grown]), "float32", "cpu")
        found = encoder.tokens(TEXTS[1], "query")
        assert found == (tokens or ["[CLS]", "[unused0]", "a", "dog", "[SEP]", *3 * ["[MASK]"]])
        assert len(vectors(trained[kind + grown], "query")[1]) == len(found)


def test_sentence_transformers_reads_the_pylate_format(trained):
    from sentence_transformers import SentenceTransformer

    found = SentenceTransformer(str(trained["pylate"]), device="cpu")
    assert [type(one).__name__ for one in found] == ["Transformer", "Dense"] and found[1].linear.weight.shape == (
        16,
        32,
    )


def test_a_corpus_is_encoded_once_for_all_checkpoints_of_a_frozen_backbone(trained, monkeypatch):
    from harness.encoders.colbert import ColBERT

    vectors(trained["colbert"], "document")
    calls = []
    monkeypatch.setattr(ColBERT, "encode", lambda *given: calls.append(given) or iter(()))
    assert vectors(trained["beginning"], "document")[0].shape[1] == 16 and not calls


def test_the_history_says_which_epoch_was_kept(trained):
    run = RunDirectory(trained["colbert"] / "training")
    history = run.read_table("training.csv")
    assert history["epoch"].tolist() == [0, 1, 2, 3] and history["loss"].isna().tolist() == [True, False, False, False]
    [kept] = history.index[history["kept"]]
    assert kept == history["value"].argmax() and history["loss"].iloc[3] < history["loss"].iloc[1]
    manifest = run.read_manifest()
    assert manifest.command == "train" and set(manifest.fingerprints) == {"dataset", "backbone"}
    assert not (run.path / "state").exists()


def test_several_pools_and_seeds_give_a_checkpoint_each_whatever_the_company(question, tmp_path):
    many = harness.train(**question, pool="maxsim,topk:2", seeds=2, output=tmp_path / "many")
    names = [path.name for path in many.checkpoints]
    assert names == ["maxsim-seed0", "maxsim-seed1", "topk-2-seed0", "topk-2-seed1"]
    alone = harness.train(**question, pool="topk:2", seed=1, output=tmp_path / "alone")
    weights = [(one / "model.safetensors").read_bytes() for one in (*many.checkpoints, *alone.checkpoints)]
    assert weights[3] == weights[4] and len(set(weights)) == 4
    repeated = harness.train(**read_config(many.checkpoints[3]), output=tmp_path / "repeated")
    assert (repeated.checkpoints[0] / "model.safetensors").read_bytes() == weights[3]


def test_models_are_opened_side_by_side(plain):
    start = formats.origin(plain)
    weights = [np.full((16, 32), number, np.float32) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda weight: formats.model_of(start, weight), weights))
    for model, weight in zip(made, weights, strict=True):
        assert {one.device.type for one in model.parameters()} == {"cpu"}
        assert np.array_equal(model.linear.weight.detach().numpy(), weight)


def read_config(checkpoint: Path) -> dict:
    from harness.commands.train import TrainConfig
    from harness.options import read_config as read

    return read(TrainConfig, checkpoint / "training" / "config.yaml")


def test_training_leaves_torchs_threads_as_they_were(question, tmp_path):
    with unchanged_threads():
        harness.train(**{**question, "epochs": 1}, pool="maxsim,topk:2", output=tmp_path)


@pytest.mark.parametrize("what", ["projection", "encoder"])
def test_a_training_that_was_cut_off_goes_on_and_ends_the_same(question, what, tmp_path, monkeypatch):
    from harness.commands import train

    question = {**question, "what": what, "rate": 0.001}
    whole = harness.train(**question, output=tmp_path / "whole")
    judged, calls = train.judge, []

    def cut(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judged(*given)

    monkeypatch.setattr(train, "judge", cut)
    with pytest.raises(KeyboardInterrupt):
        harness.train(**question, output=tmp_path / "cut")
    assert not (tmp_path / "cut" / "artifact.metadata").exists()
    again = harness.train(**question, output=tmp_path / "cut")
    assert len(calls) == 5 and again.history.equals(whole.history)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]
    harness.train(**question, output=tmp_path / "cut")
    assert len(calls) == 5, "what is trained already is kept"


def test_a_whole_encoder_learns_and_is_what_was_measured(question, tmp_path):
    done = harness.train(**{**question, "what": "encoder", "rate": 0.001, "epochs": 4}, output=tmp_path / "whole")
    [checkpoint] = done.checkpoints
    assert done.history["loss"].iloc[-1] < 0.9 * done.history["loss"].iloc[1]
    again = harness.train(
        **{**question, "checkpoint": str(checkpoint), "dim": None, "epochs": 0}, output=tmp_path / "x"
    )
    kept = done.history.loc[done.history["kept"], "value"].item()
    assert again.history["value"].tolist() == pytest.approx([kept], abs=1e-6)
    for role in ("document", "query"):
        for one, other in zip(vectors(checkpoint, role), theirs(checkpoint, role), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("kind", ["colbert", "pylate"])
def test_a_checkpoint_with_a_projection_goes_on_from_it(question, trained, kind, tmp_path):
    question = {key: value for key, value in question.items() if key not in ("dim", "query_length")} | {"epochs": 0}
    for grown in ("", ", grown"):
        given = str(trained[kind + grown])
        [same] = harness.train(**{**question, "checkpoint": given}, output=tmp_path / f"same{grown}").checkpoints
        for role in ("document", "query"):
            for one, other in zip(vectors(same, role), vectors(given, role), strict=True):
                np.testing.assert_allclose(one, other, atol=1e-3)
    changed = {**question, "checkpoint": given, "expansion": "none"}
    [shorter] = harness.train(**changed, output=tmp_path / "shorter").checkpoints
    for one, other in zip(vectors(shorter, "query"), vectors(trained[kind], "query"), strict=True):
        assert one.shape == other.shape


def refused(kind, match, **question):
    with pytest.raises(kind, match=match):
        harness.train(**question)


def test_what_cannot_be_trained_is_refused_in_one_line(question, trained, tmp_path):
    out = {"output": tmp_path / "x"}
    refused(OptionError, "dim 999: the backbone has 32", **{**question, "dim": 999}, **out)
    refused(
        OptionError,
        "dim 8: the checkpoint's own projection has 16; leave --dim out",
        **{**question, "dim": 8, "checkpoint": str(trained["colbert"])},
        **out,
    )
    refused(OptionError, "query length 99: the model takes 4 to 64 tokens", **{**question, "query_length": 99}, **out)
    refused(
        OptionError,
        "(?s)unknown beginning 'x'.*unknown format 'pt'.*batch 1 has no negatives",
        **{**question, "format": "pt", "start": "x", "batch": 1},
        **out,
    )
    refused(
        DataError,
        "concepts.* has no weights to train; give a transformer",
        **{**question, "checkpoint": "concepts"},
        **out,
    )
    prompted = Path(shutil.copytree(trained["pylate"], tmp_path / "prompted"))
    change(prompted / "config_sentence_transformers.json", query_prefix="", skiplist_words=["fox"])
    refused(
        DataError,
        "skiplist_words are not the punctuation, a prefix is empty",
        **{**question, "checkpoint": str(prompted), "dim": None},
        **out,
    )
    refused(
        DataError,
        r"its tokenizer has no \[MASK\] to grow queries with; leave --expansion out",
        **{**question, "checkpoint": str(trained["colbert"]), "dim": None, "expansion": "mask"},
        **out,
    )
    assert not (tmp_path / "x").exists()


def test_folders_that_hold_something_else_are_left_alone(question, trained, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    refused(OptionError, "is not empty, and no checkpoint of harness train", **question, output=tmp_path / "mine")
    folder = shutil.copytree(trained["colbert"], tmp_path / "other")
    refused(
        OptionError,
        "holds a training with another pool, batch; give another",
        **{**question, "pool": "mean"},
        output=folder,
    )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"plugins": [{"kind": "aggregator", "name": "maxsim", "source": "edited"}]}, "another plug-in"),
        ({"fingerprints": {"dataset": "of other texts"}}, "another dataset"),
    ],
)
def test_a_training_under_other_code_or_data_is_no_answer_and_is_done_again_by_force(question, changes, says, tmp_path):
    question |= {"epochs": 1, "output": tmp_path}
    first = harness.train(**question)
    record = RunDirectory(tmp_path / "training")
    record.write_manifest(dataclasses.replace(record.read_manifest(), **changes))
    refused(OptionError, f"holds a training with {says}; give another --output, or --force", **question)
    again = harness.train(**question, force=True)
    assert again.history.equals(first.history) and again.manifests[0].plugins == []
    assert record.read_manifest().fingerprints == first.manifests[0].fingerprints


def test_a_stanford_checkpoint_of_another_maker_is_no_frozen_one(tmp_path):
    folder = stanford(tmp_path / "one", tiny(tmp_path / "one"))
    assert encoders.load(str(folder), "float32", "cpu").backbone is None
