"""The concept world: its texts, their vectors, and eval on it without a checkpoint."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import corpora, encoders, evaluate
from harness.commands.eval import EvalConfig
from harness.corpora.synthetic import World, make
from harness.encoders import concepts
from harness.encoders.concepts import Concepts, dictionary, raw
from harness.errors import DataError, OptionError
from harness.options import resolve
from harness.records import Query

SMALL = World(concepts=30, dim=8, tokens=6, support=3, shared=2, mixed=2, queries=16, patches=20)


def words(item) -> list[str]:
    return item.text.split()[1:]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 4), st.integers(1, 6), st.integers(0, 5), st.sampled_from(["test", "train"]))
def test_positives_carry_the_support_and_hard_negatives_share_concepts_and_hold_one_spike(
    K, shared, mixed, seed, split
):
    world = dataclasses.replace(SMALL, support=K, shared=shared, mixed=mixed, seed=seed)
    made = make(world, split)
    positives, negatives = made.documents[: world.queries], made.documents[world.queries :]
    for query, positive, negative, qrel in zip(made.queries, positives, negatives, made.qrels, strict=True):
        assert (qrel.query_id, qrel.doc_id) == (query.id, positive.id)
        assert len(words(query)) == world.tokens and len(words(positive)) == len(words(negative)) == world.patches
        assert words(positive)[:K] == words(query)[:K]
        assert set(words(negative)[:shared]) <= set(words(query))
        spikes = [word for word in words(negative) if "+" in word]
        assert len(spikes) == (1 if mixed > 1 else 0)
        assert set(words(negative)[shared].split("+")) <= set(words(query))


def test_a_shorter_world_is_a_prefix_and_support_changes_only_the_support():
    long = make(dataclasses.replace(SMALL, patches=50), "test")
    short, other = make(SMALL, "test"), make(dataclasses.replace(SMALL, support=5), "test")
    for a, b, c in zip(short.documents, long.documents, other.documents, strict=True):
        assert words(b)[:20] == words(a) and words(c)[5:] == words(a)[5:]
        np.testing.assert_array_equal(raw(b.text)[:20], raw(a.text))
    assert [q.text for q in short.queries] == [q.text for q in long.queries] == [q.text for q in other.queries]


def test_splits_and_seeds_are_other_worlds():
    one = make(SMALL, "test")
    for other in (make(SMALL, "train"), make(dataclasses.replace(SMALL, seed=1), "test")):
        assert [words(q) for q in one.queries] != [words(q) for q in other.queries]
    assert not np.allclose(dictionary(0, 30, 8), dictionary(1, 30, 8))


def test_a_patch_is_its_concept_with_noise_and_a_spike_the_mean_of_its_concepts():
    known = dictionary(3, 40, 16).astype(np.float64)
    text = "test-p0@3,40,16,{} " + " ".join(f"c{at}" for at in range(40)) + " c1+c2+c3"
    clean, noisy = raw(text.format(0.0)), raw(text.format(0.1))
    np.testing.assert_allclose(clean[:40], known, atol=1e-6)
    mean = known[[1, 2, 3]].mean(0)
    np.testing.assert_allclose(clean[40], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(noisy, axis=1), 1, atol=1e-6)
    cosine = (noisy * clean).sum(1)
    assert 0.85 < cosine.mean() < 0.97  # 1/√(1 + 16·0.1²) = 0.93 in expectation


def test_noise_belongs_to_the_item():
    one, same, other = (raw(f"{name}@0,40,16,0.1 c1 c2") for name in ("a", "a", "b"))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"support": 7}, "at most tokens"),
        ({"queries": 0}, "at least 1"),
        ({"patches": 2}, "cannot hold"),
        ({"noise": float("nan")}, "noise"),
        ({"patches": 3, "shared": 3}, "cannot hold"),
    ],
)
def test_a_world_that_cannot_be_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(SMALL, **given)


def test_the_dataset_brings_its_own_checkpoint_and_another_may_be_asked_for():
    assert resolve(EvalConfig, dataset="synthetic").checkpoint == "concepts"
    assert resolve(EvalConfig, dataset="synthetic", checkpoint="minilm").checkpoint == "minilm"
    assert resolve(EvalConfig, dataset="stdlib").checkpoint == "minilm"


def test_a_card_makes_another_world(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path))
    card = "source: synthetic\nsplits: [test, train]\ncheckpoint: concepts\nworld: {}\n"
    (tmp_path / "mine.yaml").write_text(card.format("{queries: 5, patches: 9, seed: 4}"))
    dataset = corpora.load("mine")
    assert len(dataset.queries) == 5 and len(dataset.documents) == 10 and dataset.documents[0].text.count(" c") == 9
    for wrong in ("{colour: 3}", "{support: 99}", "[1]"):
        (tmp_path / "mine.yaml").write_text(card.format(wrong))
        with pytest.raises(DataError, match=r"mine.*world"):
            corpora.load("mine")


def test_the_encoder_refuses_what_is_not_its_own(tmp_path):
    for text in ("hello world", "a@0,40,16,0.1 c99", "a@0,40,16 c1", "a@0,40,16,0.1 x"):
        with pytest.raises(DataError, match="synthetic world"):
            list(Concepts("float32", "cpu").encode([Query("q", text)], "query"))
    with pytest.raises(OptionError, match="float32"):
        encoders.load("concepts", "bfloat16", "cpu")
    net = concepts.network(8, 5, np.random.default_rng(0))
    concepts.save(tmp_path / "trained", net, {"key": SMALL.key, "dim": 8, "width": 5})
    with pytest.raises(DataError, match="trained on world"):
        list(
            encoders.load(str(tmp_path / "trained"), "float32", "cpu").encode([Query("a", "a@1,30,8,0.1 c1")], "query")
        )


def test_a_saved_network_is_the_network(tmp_path):
    net = concepts.network(8, 5, np.random.default_rng(0))
    concepts.save(tmp_path / "trained", net, {"key": SMALL.key, "dim": 8, "width": 5})
    queries = make(SMALL, "test").queries
    ((_, first), *_), *_ = encoders.load(str(tmp_path / "trained"), "float32", "cpu").encode(queries, "query")
    with torch.no_grad():
        expected = torch.nn.functional.normalize(net(torch.from_numpy(raw(queries[0].text))), dim=-1)
    np.testing.assert_allclose(first, expected, atol=1e-3)


def test_eval_runs_on_the_world_without_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path))
    (tmp_path / "mine.yaml").write_text(
        "source: synthetic\ncheckpoint: concepts\nworld: {queries: 24, patches: 32, support: 12}\n"
    )
    run = evaluate(
        dataset="mine",
        pool="maxsim,mean",
        lengths=[16, 32],
        candidates="exact",
        measures="R@1",
        output=tmp_path / "runs",
    )
    value = run.summary.set_index(["arm", "pool", "length"])["value"]
    assert value["truncate", "maxsim", 16] > 0.8 and set(run.summary["checkpoint"]) == {"concepts"}
    assert value["truncate", "maxsim", 16] > value["truncate", "mean", 16]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("world.json", "{"),
        ("world.json", "{}"),
        ("network.safetensors", "short"),
        ("world.json", '{"key": "0,30,8,0.1", "dim": 9, "width": 5}'),
        ("network.safetensors", None),
    ],
)
def test_a_damaged_network_is_one_line_naming_its_folder(tmp_path, name, content):
    net = concepts.network(8, 5, np.random.default_rng(0))
    concepts.save(tmp_path / "trained", net, {"key": SMALL.key, "dim": 8, "width": 5})
    path = tmp_path / "trained" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match="trained"):
        encoders.load(str(tmp_path / "trained"), "float32", "cpu")
