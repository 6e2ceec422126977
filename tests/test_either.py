"""Where MaxSim must lose, eval and stress say so; where smoothing must, too; and neither where they are mixed."""

from __future__ import annotations

import pytest

from validation import either


@pytest.mark.parametrize("judged, wanted", [("sharp", "maxsim"), ("spread", "softmax:1.0"), ("mixed", "neither")])
def test_eval_and_stress_call_the_pool_that_is_right_or_neither(judged, wanted):
    tests = either.tested(judged, seed=7, queries=40, lengths=(16, 512))
    assert set(tests["test"]) == {"L = 16", "L = 512", "slope", "loss, K = 100", "loss, K = 200"}
    assert (tests["call"] == wanted).all()
