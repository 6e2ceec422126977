"""Training's parts: batches, loss, a projection that learns, and going on as if nothing had happened."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.aggregators import AGGREGATORS
from harness.errors import DataError
from harness.records import MultiVectors
from harness.training.examples import batches, gallery, hold_out
from harness.training.loop import Recipe, fit, info_nce, restore, state_of
from harness.training.projection import Projection, orthogonal

POOLS = ["maxsim", "topk:2", "softmax:0.3", "mean"]


@given(st.lists(st.sets(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=20), st.integers(1, 8))
def test_an_epoch_has_every_query_once_with_one_of_its_documents(judged, size):
    relevant = [np.array(sorted(one)) for one in judged]
    seen = []
    for batch in batches(relevant, np.arange(len(judged)), size, seed=1, epoch=1):
        seen += batch.queries.tolist()
        assert len(set(batch.documents.tolist())) == len(batch.documents) and len(batch.queries) < 2 * size
        for at, query in enumerate(batch.queries.tolist()):
            own = batch.documents[batch.target[at]]
            assert own in judged[query]
            others = {one for one in batch.documents.tolist() if one in judged[query]} - {own}
            assert set(batch.documents[batch.left_out[at]].tolist()) == others
    assert sorted(seen) == list(range(len(judged)))


def test_epochs_differ_and_a_seed_repeats_them():
    relevant = [np.array([at, at + 1]) for at in range(20)]
    made = [
        [(b.queries.tolist(), b.documents.tolist()) for b in batches(relevant, np.arange(20), 5, seed, epoch)]
        for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert made[0] == made[1] and made[0] != made[2] and made[0] != made[3]


def test_queries_held_out_are_not_learned_from_and_the_gallery_holds_what_is_relevant():
    learned, held = hold_out(50, 0.1)
    assert len(held) == 5 and sorted([*learned, *held]) == list(range(50))
    assert [len(part) for part in hold_out(3, 0.001)] == [2, 1] and [len(part) for part in hold_out(3, 0.9)] == [1, 2]
    rows = gallery(100, [np.array([3, 4]), np.array([99])], 10)
    assert {3, 4, 99} <= set(rows.tolist()) and len(rows) == len(set(rows.tolist())) == 10
    assert gallery(100, [np.arange(40)], 10).tolist() == list(range(40))


def world(seed: int = 0, queries: int = 40, hidden: int = 24, useful: int = 4) -> tuple[MultiVectors, MultiVectors]:
    """Query i's tokens are patches of document i in the useful dimensions; in the others all is noise."""
    random = np.random.default_rng(seed)

    def items(meaning, prefix):
        noise = 1.2 * random.standard_normal((*meaning.shape[:2], hidden - useful))
        vectors = np.concatenate([meaning, noise], 2)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        offsets = np.arange(len(vectors) + 1, dtype=np.int64) * vectors.shape[1]
        ids = [f"{prefix}{at}" for at in range(len(vectors))]
        return MultiVectors(ids, vectors.reshape(-1, hidden).astype(np.float16), offsets)

    meaning = random.standard_normal((queries, 6, useful))
    return items(meaning[:, :3], "q"), items(meaning, "d")


def projection(seed: int = 0) -> Projection:
    return Projection(*world(), orthogonal(6, 24, seed), length=6, device="cpu")


def found(model: Projection, pool: str) -> float:
    """Share of the queries whose own document scores best."""
    every = np.arange(40)
    (tokens, t), (patches, p) = (model.vectors(every, role) for role in ("query", "document"))
    sims = (tokens @ patches.T).detach().view(40, t[0], 40, p[0])
    scores = AGGREGATORS.make(pool)(sims.transpose(1, 2)).sum(-1)
    return float((scores.argmax(1) == torch.arange(40)).double().mean())


def train(model: Projection, pool: str, epochs: int = 16, done: int = 0, optimizer=None):
    optimizer = optimizer or torch.optim.Adam(model.parameters, 0.02)
    relevant = [np.array([at]) for at in range(40)]
    recipe = Recipe(epochs, 8, 0.02, 0.1, seed=3)
    drawn = functools.partial(batches, relevant, np.arange(40), 8, 3)
    return fit(model, AGGREGATORS.make(pool), drawn, recipe, optimizer, done)


@pytest.mark.parametrize("pool", POOLS)
def test_training_finds_the_dimensions_that_matter(pool):
    model = projection()
    before, losses = found(model, pool), [losses.mean() for _, losses in train(model, pool)]
    assert len(losses) == 16 and losses[-1] < 0.8 * losses[0]
    assert found(model, pool) > before + 0.2


@pytest.mark.parametrize("pool", ["maxsim", "softmax:0.3"])
def test_the_loss_is_that_of_a_loop_in_float64(pool):
    """−log of the target's share of exp(score), the other relevant documents left out of the sum."""
    model = projection()
    relevant = [np.array([at, (at + 1) % 40]) for at in range(40)]
    batch = next(batches(relevant, np.arange(40), 8, seed=0, epoch=1))
    batch.left_out[0, (batch.target[0] + 1) % len(batch.documents)] = True  # one at least
    loss = info_nce(model, AGGREGATORS.make(pool), batch, 0.5)
    weight, expected = model.weight.detach().double(), []
    for at, query in enumerate(batch.queries.tolist()):
        scores = []
        for place, document in enumerate(batch.documents.tolist()):
            raw = (model.stores["query"][0].of(query), model.stores["document"][0].of(document))
            tokens, patches = (torch.nn.functional.normalize(torch.from_numpy(one).double() @ weight.T) for one in raw)
            score = float(AGGREGATORS.make(pool)(tokens @ patches.T).sum()) / 0.5
            scores.append(-np.inf if batch.left_out[at, place] else score)
        expected.append(np.log(np.exp(scores).sum()) - scores[batch.target[at]])
    assert float(loss.detach()) == pytest.approx(np.mean(expected), rel=1e-5)


def test_documents_are_cut_and_queries_are_not():
    model = Projection(*world(), orthogonal(6, 24, 0), length=2, device="cpu")
    assert model.vectors(np.array([5, 7]), "document")[1] == [2, 2]
    assert model.vectors(np.array([5, 7]), "query")[1] == [3, 3]


@pytest.mark.parametrize("cut", [1, 3])
def test_training_that_was_cut_off_ends_in_the_same_weights(cut):
    whole, first = projection(), projection()
    uncut = [losses.tolist() for _, losses in train(whole, "topk:2", epochs=5)]
    optimizer = torch.optim.Adam(first.parameters, 0.02)
    part = [losses.tolist() for _, losses in itertools.islice(train(first, "topk:2", 5, 0, optimizer), cut)]
    state = {name: one.clone() for name, one in state_of(first, optimizer).items()}
    second = projection(seed=9)
    optimizer = torch.optim.Adam(second.parameters, 0.02)
    restore(second, optimizer, state)
    rest = [losses.tolist() for _, losses in train(second, "topk:2", 5, cut, optimizer)]
    assert [*part, *rest] == uncut and torch.equal(whole.weight, second.weight)


def test_a_diverging_training_says_so():
    model = projection()
    with torch.no_grad():
        model.weight[0, 0] = torch.nan
    with pytest.raises(DataError, match=r"diverged under maxsim, seed 3, epoch 1; lower --rate"):
        list(train(model, "maxsim"))


def test_a_random_projection_keeps_angles_and_is_a_function_of_the_seed():
    weight = orthogonal(16, 64, 2)
    np.testing.assert_allclose(weight @ weight.T, np.eye(16), atol=1e-6)
    assert np.array_equal(weight, orthogonal(16, 64, 2)) and not np.array_equal(weight, orthogonal(16, 64, 3))
