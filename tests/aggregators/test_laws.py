"""Every registered aggregator obeys the laws, each built-in one equals a loop in float64, and every law can fail."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import numba as nb
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.aggregators import AGGREGATORS, Aggregator, aggregator, real
from harness.aggregators.laws import generic, streamed
from harness.commands.eval import EvalConfig
from harness.options import resolve
from harness.scoring.kernels import kernel_of
from harness.scoring.kernels.base import exp2_nonpositive, log_positive
from harness.scoring.llvm import widen
from tests.aggregators.laws import LAWS

ROOT = Path(__file__).parents[2]
PLACES = ("aggregators/test_laws", "statistics/test_concentration", "scoring/test_contrast")

EXTRA = ["topk:1", "topk:7", "topk:100", "softmax:0.01", "softmax:1.0", "softmax:1000.0", "logsumexp:0.01"]
EXTRA += ["logmeanexp:1.0", "logmeanexp:1000.0"]
SHIPPED = [name for name in AGGREGATORS if AGGREGATORS[name].__module__.startswith("harness.")]
BUILT_IN = sorted({str(AGGREGATORS.make(name)) for name in SHIPPED} | set(EXTRA))
SPECS = sorted({str(AGGREGATORS.make(name)) for name in AGGREGATORS} | set(EXTRA))  # and those of packages installed


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law, spec):
    law(AGGREGATORS.make(spec))


def loop(spec: str, x: list[float]) -> float:
    """The operator's formula for one token, written out."""
    name, *values = spec.split(":")
    value = float(values[0]) if values else math.nan
    if name == "maxsim":
        return max(x)
    if name == "mean":
        return sum(x) / len(x)
    if name == "topk":
        best = sorted(x, reverse=True)[: int(value)]
        return sum(best) / len(best)
    peak = max(x)
    weights = [math.exp((s - peak) / value) for s in x]
    if name == "softmax":
        return sum(w * s for w, s in zip(weights, x, strict=True)) / sum(weights)
    return peak + value * math.log(sum(weights) / (len(x) if name == "logmeanexp" else 1))


@pytest.mark.parametrize("spec", BUILT_IN)
@settings(max_examples=40)
@given(x=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=40), cuts=st.lists(st.integers(1, 39), max_size=4))
def test_operator_is_its_formula_on_any_stream(spec, x, cuts):
    tensor = torch.tensor([x], dtype=torch.float64)
    cuts = [cut for cut in cuts if cut < len(x)]
    agg = AGGREGATORS.make(spec)
    expected = loop(spec, x)
    assert agg(tensor).item() == pytest.approx(expected, abs=1e-9)
    assert streamed(agg, tensor, cuts).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "spec, own, other, expected",
    [
        ("maxsim", [0.5, 0.1], [0.4, 0.6], 1.0),
        ("maxsim", [0.5, 0.1], [0.5], 0.0),
        ("topk:2", [0.5, 0.1], [0.3], 0.5),
        ("topk:2", [0.5, 0.1], [0.5, 0.5], 0.5),
        ("topk:4", [0.5, 0.1], [0.3], 1 / 3),
        ("mean", [0.5, 0.1], [0.3], 1 / 3),
        ("softmax:1.0", [0.0], [math.log(3.0)], 0.75),
        ("logsumexp:1.0", [0.0], [math.log(3.0)], 0.75),
        ("logmeanexp:1.0", [0.0], [math.log(3.0)], 0.75),
    ],
)
def test_the_share_of_a_selection_that_others_hold(spec, own, other, expected):
    agg = AGGREGATORS.make(spec)
    states = [agg.reduce(torch.tensor([x], dtype=torch.float64)) for x in (own, other)]
    assert agg.share(*states).item() == pytest.approx(expected)


def test_every_built_in_aggregator_has_a_kernel_and_a_closed_gradient():
    assert len(SHIPPED) >= 6
    for name in SHIPPED:
        assert kernel_of(AGGREGATORS.make(name)) and AGGREGATORS[name].gradient is not Aggregator.gradient


def test_top_1_is_maxsim():
    x = generic(6, 50)
    assert torch.equal(AGGREGATORS.make("topk:1")(x), AGGREGATORS.make("maxsim")(x))


@pytest.mark.parametrize("name", ["softmax", "logsumexp", "logmeanexp"])
def test_a_vanishing_temperature_is_maxsim(name):
    x = generic(6, 50)
    torch.testing.assert_close(AGGREGATORS.make(f"{name}:1e-06")(x), x.amax(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["softmax", "logmeanexp"])
def test_an_endless_temperature_is_the_mean(name):
    x = generic(6, 50)
    torch.testing.assert_close(AGGREGATORS.make(f"{name}:1e6")(x), x.mean(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seen", [1, 3, 4, 40])
def test_top_k_of_fewer_patches_is_their_mean(seen):
    x = generic(2, seen)
    k = 4
    torch.testing.assert_close(AGGREGATORS.make(f"topk:{k}")(x), x.topk(min(k, seen)).values.mean(-1))


def test_an_aggregator_from_outside_obeys_the_laws_and_is_reachable():
    @aggregator("test-midrange")
    class Midrange(Aggregator):
        """Mean of the largest and the smallest similarity."""

        def reduce(self, sims):
            return sims.max(-1).values, sims.where(real(sims), 1e30).min(-1).values

        def merge(self, own, other):
            return torch.where(other[0] > own[0], other[0], own[0]), torch.where(other[1] < own[1], other[1], own[1])

        def finish(self, state):
            return (state[0] + state[1]) / 2

    try:
        assert kernel_of(Midrange()) is None
        for law in LAWS:
            law(Midrange())
        assert resolve(EvalConfig, pool="maxsim,test-midrange").pool == ("maxsim", "test-midrange")
    finally:
        AGGREGATORS.forget("test-midrange")


def test_the_guides_aggregator_in_a_package_of_its_own_passes_every_test_of_an_aggregator(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "aggregators.md").read_text(), re.DOTALL)
    [example] = [block for block in blocks if "class Blend" in block]
    [loop] = [block for block in blocks if "in LAWS:" in block]
    package = tmp_path / "test_blend_package.py"
    package.write_text(f"{example}\n\ndef test_blend_as_the_guide_says():\n{indent(loop, '    ')}")
    about = tmp_path / "test_blend_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: test-blend-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[harness.aggregators]\nblend = test_blend_package\n")
    files = [str(package), *(f"tests/{name}.py" for name in PLACES)]
    command = [sys.executable, "-m", "pytest", "-vv", "-p", "no:xdist", "-k", "blend", *files]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(command, cwd=ROOT, env=found, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert {law.__name__ for law in LAWS} <= set(re.findall(r"test_law\[(\w+)-blend:0.5\] PASSED", done.stdout))
    for name in ("test_blend_as_the_guide_says", "loop_for_any_ragged_batch[blend:0.5]"):
        assert f"{name} PASSED" in done.stdout


@pytest.mark.parametrize("spec", ["softmax:0.01", "softmax:0.1", "logsumexp:0.1", "logmeanexp:1.0"])
@settings(max_examples=40)
@given(
    patches=st.integers(1, 21), lanes=st.integers(1, 40), far=st.sampled_from([0.0, 2.0, 1e4]), seed=st.integers(0, 99)
)
def test_compiled_exponentials_at_any_width_and_however_far_below_the_peak(spec, patches, lanes, far, seed):
    operator = AGGREGATORS.make(spec)
    kernel, random = kernel_of(operator), np.random.default_rng(seed)
    block = random.uniform(-1, 1, (patches, lanes)).astype(np.float32)
    block[random.random(block.shape) < 0.3] -= np.float32(far)
    state, scores = np.empty((kernel.rows(operator), lanes), np.float32), np.empty(lanes, np.float32)
    kernel.start(state, operator.tau)
    for first, last in ((0, patches // 2), (patches // 2, patches)):
        kernel.update(block, first, last, state, operator.tau)
    kernel.finish(state, patches, scores, operator.tau)
    expected = [loop(spec, column) for column in block.T.astype(float).tolist()]
    np.testing.assert_allclose(scores, expected, rtol=2e-6, atol=2e-6)


@given(st.floats(-(2.0**100), 0, width=32), st.floats(2.0**-10, 2.0**10, width=32))
def test_compiled_exponential(x, scale):
    got = float(exp2_nonpositive(np.float32(x), np.float32(scale)))
    assert got == pytest.approx(math.pow(2.0, max(x * scale, -1e5)), rel=5e-7, abs=1e-37)


@given(st.floats(2.0**-126, 2.0**127, width=32))
@example(1.0)
@example(float(np.nextafter(np.float32(1), np.float32(2))))
def test_compiled_logarithm(x):
    assert float(log_positive(np.float32(x))) == pytest.approx(math.log(x), rel=1e-7, abs=1e-7)


def test_widening_is_exact_for_every_finite_half():
    bits = np.arange(1 << 16, dtype=np.uint16)
    halves = bits.view(np.float16)
    finite = np.isfinite(halves)
    got = np.empty(finite.sum(), np.float32)

    @nb.njit
    def widen_all(bits, out):
        for at in range(len(bits)):
            out[at] = widen(bits[at])

    widen_all(bits[finite], got)
    np.testing.assert_array_equal(got, halves[finite].astype(np.float32))
