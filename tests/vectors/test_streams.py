"""Patch streams: prefixes, counts, and filler that depends on the seed and the document alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, OptionError
from harness.records import MultiVectors
from harness.vectors.arms import ARMS, make_arm
from harness.vectors.fills import FILLS
from harness.vectors.streams import streams
from tests.conftest import multivectors

COUNTS = st.lists(st.integers(1, 40), min_size=2, max_size=6)
LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True).map(sorted)
CASES = {"counts": COUNTS, "lengths": LENGTHS, "name": st.sampled_from(sorted(ARMS)), "fill": st.sampled_from([*FILLS])}
CASES["evidence"] = st.none() | st.integers(1, 50)
FILLING = ["pad", "equalize"]


def made(vectors, lengths, name="equalize", fill="distractor", evidence=None, seed=0):
    return streams(vectors, make_arm(name, lengths, evidence, fill, seed), lengths)


def corpus(counts, seed=0, norms=True):
    """Random patches; of unlike norms, so that a norm shows where a patch came from."""
    vectors = multivectors(counts, dim=8, seed=seed)
    scale = np.random.default_rng(seed).uniform(0.5, 2, len(vectors.vectors)) if norms else 1.0
    return dataclasses.replace(vectors, vectors=(vectors.vectors.T * scale).T.astype(np.float16))


def reordered(vectors, order):
    parts = [vectors.of(row) for row in order]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return MultiVectors([vectors.ids[row] for row in order], np.concatenate(parts), offsets)


@settings(deadline=None, max_examples=150)
@given(**CASES)
def test_every_arm_has_the_patches_it_promises(counts, lengths, name, fill, evidence):
    vectors = corpus(counts)
    whole = made(vectors, lengths, name, fill, evidence)
    for row, count in enumerate(counts):
        stream, own = whole.of(row), vectors.of(row)
        assert stream.dtype == np.float16 and len(stream) == whole.counts(row)[-1]
        for at, length in enumerate(lengths):
            assert whole.counts(row)[at] == (min(count, length) if name == "truncate" else length)
        most = {"truncate": max(lengths), "equalize": max(lengths), "pad": min(evidence or min(lengths), max(lengths))}
        assert whole.own_counts(row) == min(count, most[name])
        np.testing.assert_array_equal(stream[: whole.own_counts(row)], own[: whole.own_counts(row)])
        np.testing.assert_array_equal(stream[whole.own_counts(row) :], whole.filler(row))


@settings(deadline=None, max_examples=150)
@given(**CASES, longer=st.integers(0, 90))
def test_a_document_is_a_prefix_of_itself_in_any_longer_sweep(counts, lengths, name, fill, evidence, longer):
    vectors, evidence = corpus(counts), evidence or min(lengths)
    short = made(vectors, lengths, name, fill, evidence)
    long = made(vectors, [*lengths, max(lengths) + 1 + longer], name, fill, evidence)
    for row in range(len(counts)):
        np.testing.assert_array_equal(long.of(row)[: len(short.of(row))], short.of(row))
        np.testing.assert_array_equal(long.counts(row)[:-1], short.counts(row))


@pytest.mark.parametrize("name", FILLING)
@pytest.mark.parametrize("fill", ["gaussian", "repeat", "zero"])
def test_filler_does_not_depend_on_the_other_documents(name, fill):
    vectors = corpus([3, 7, 2, 9, 5])
    whole = made(vectors, [4, 30], name, fill)
    for order in ([4, 2, 0, 1, 3], [2], [3, 1]):
        part = made(reordered(vectors, order), [4, 30], name, fill)
        for row, old in enumerate(order):
            np.testing.assert_array_equal(part.of(row), whole.of(old))


@pytest.mark.parametrize("name", FILLING)
def test_distractors_do_not_depend_on_what_was_drawn_before(name):
    vectors = corpus([3, 7, 2, 9, 5])
    forward, backward = made(vectors, [4, 200], name), made(vectors, [4, 200], name)
    first = [forward.of(row) for row in range(5)]
    for row in reversed(range(5)):
        np.testing.assert_array_equal(backward.of(row), first[row])


@pytest.mark.parametrize("fill, same", [("distractor", False), ("gaussian", False), ("repeat", True), ("zero", True)])
def test_the_seed_decides_what_is_random_and_nothing_else(fill, same):
    vectors = corpus([3, 7, 2, 9, 5])
    one, other = (made(vectors, [4, 40], "pad", fill, seed=seed) for seed in (0, 1))
    for row in range(5):
        np.testing.assert_array_equal(one.of(row)[: one.own_counts(row)], other.of(row)[: other.own_counts(row)])
        assert np.array_equal(one.filler(row), other.filler(row)) is same


def test_documents_differ_in_their_filler(monkeypatch):
    monkeypatch.setattr("harness.vectors.fills.distractor.BANK", 5)  # some have nothing in the bank to leave out
    vectors = corpus([1] * 20)
    for fill in ("distractor", "gaussian"):
        fillers = [made(vectors, [40], fill=fill).filler(row).tobytes() for row in range(20)]
        assert len(set(fillers)) == 20


@settings(deadline=None, max_examples=50)
@given(counts=COUNTS, seed=st.integers(0, 99), name=st.sampled_from(FILLING))
def test_distractors_are_patches_of_other_documents(counts, seed, name):
    vectors = corpus(counts)
    whole = made(vectors, [2, 90], name, seed=seed)
    for row in range(len(counts)):
        others = {patch.tobytes() for other in range(len(counts)) if other != row for patch in vectors.of(other)}
        assert {patch.tobytes() for patch in whole.filler(row)} <= others


def test_distractors_come_from_all_over_the_corpus():
    vectors = corpus([10] * 12)
    owner = {patch.tobytes(): row for row in range(12) for patch in vectors.of(row)}
    whole = made(vectors, [10, 400], "pad")
    assert {owner[patch.tobytes()] for patch in whole.filler(3)} == set(range(12)) - {3}


@pytest.mark.parametrize("bank", [8, 50])
def test_a_bank_smaller_than_the_corpus_keeps_every_promise(monkeypatch, bank):
    monkeypatch.setattr("harness.vectors.fills.distractor.BANK", bank)
    vectors = corpus([10] * 12)
    owner = {patch.tobytes(): row for row in range(12) for patch in vectors.of(row)}
    short, long = made(vectors, [10, 50], "pad"), made(vectors, [10, 50, 200], "pad")
    for row in range(12):
        assert row not in {owner[patch.tobytes()] for patch in long.filler(row)}
        np.testing.assert_array_equal(long.of(row)[:50], short.of(row))
    assert len({patch.tobytes() for row in range(12) for patch in long.filler(row)}) <= bank


@settings(deadline=None, max_examples=50)
@given(counts=COUNTS, evidence=st.none() | st.integers(1, 20), name=st.sampled_from(FILLING))
def test_gaussians_have_the_norms_of_own_patches(counts, evidence, name):
    vectors = corpus(counts)
    whole = made(vectors, [2, 60], name, "gaussian", evidence)
    for row in range(len(counts)):
        own = np.linalg.norm(vectors.of(row)[: whole.own_counts(row)].astype(float), axis=1)
        filler = np.linalg.norm(whole.filler(row).astype(float), axis=1)
        assert all(np.abs(own - norm).min() < 1e-2 for norm in filler)
        if len(filler) >= len(own):
            assert all(np.abs(filler - norm).min() < 1e-2 for norm in own)


def test_gaussians_point_anywhere():
    vectors = corpus([4, 4], norms=False)
    filler = made(vectors, [2000], fill="gaussian").filler(0).astype(float)
    assert np.abs(filler.mean(axis=0)).max() < 0.05
    np.testing.assert_allclose(np.cov(filler.T), np.eye(8) / 8, atol=0.02)


def test_zero_is_zero_and_repeat_goes_round():
    vectors = corpus([3, 6])
    assert not made(vectors, [10], fill="zero").filler(0).any()
    np.testing.assert_array_equal(made(vectors, [8], fill="repeat").of(0), vectors.of(0)[[0, 1, 2, 0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(made(vectors, [2, 5], "pad", "repeat").of(1), vectors.of(1)[[0, 1, 0, 1, 0]])


def test_one_document_has_no_distractors():
    with pytest.raises(DataError, match="the corpus has one"):
        made(corpus([5]), [8])
    assert len(made(corpus([5]), [8], "truncate").of(0)) == 5


def test_a_document_that_owns_the_whole_bank_is_named(monkeypatch):
    monkeypatch.setattr("harness.vectors.fills.distractor.BANK", 1)
    whole, failed = made(corpus([500, 1]), [600]), []
    for row in range(2):
        try:
            assert len(whole.filler(row)) == whole.counts(row)[-1] - whole.own_counts(row)
        except DataError as error:
            failed.append(row)
            assert f"'d{row}'" in str(error)
    assert len(failed) == 1


@pytest.mark.parametrize("name", sorted(ARMS))
def test_a_document_without_a_patch_is_named(name):
    with pytest.raises(DataError, match="'d1'"):
        made(corpus([3, 0, 2]), [4], name)


@settings(deadline=None, max_examples=50)
@given(counts=COUNTS, lengths=LENGTHS, fill=st.sampled_from([*FILLS]))
def test_truncate_and_pad_agree_at_the_shortest_length(counts, lengths, fill):
    vectors, least = corpus([min(lengths) + count for count in counts]), min(lengths)
    cut, pad = (made(vectors, lengths, name, fill) for name in ("truncate", "pad"))
    for row in range(len(counts)):
        assert cut.counts(row)[0] == pad.counts(row)[0] == least
        np.testing.assert_array_equal(cut.of(row)[:least], pad.of(row)[:least])


@settings(deadline=None, max_examples=50)
@given(**CASES, data=st.data())
def test_the_summary_equals_a_loop(counts, lengths, name, fill, evidence, data):
    whole = made(corpus(counts), lengths, name, fill, evidence)
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, unique=True))
    summary = whole.summary(np.array(rows))
    assert len(summary) == len(lengths)
    for length, about in zip(lengths, summary, strict=True):
        sizes = [len(whole.of(row)[:length]) for row in rows]
        filler = [max(size - whole.own_counts(row), 0) for size, row in zip(sizes, rows, strict=True)]
        assert about["patches_mean"] == pytest.approx(sum(sizes) / len(sizes), abs=6e-3)
        assert (about["patches_min"], about["patches_max"]) == (min(sizes), max(sizes))
        assert about["filler_share"] == pytest.approx(sum(filler) / sum(sizes), abs=6e-5)


@pytest.mark.parametrize("name, fill, says", [("pads", "zero", "'pad'"), ("pad", "gausian", "'gaussian'")])
def test_an_unknown_arm_or_fill_gets_a_suggestion(name, fill, says):
    with pytest.raises(OptionError, match=f"did you mean {says}"):
        make_arm(name, [32], None, fill, 0)
