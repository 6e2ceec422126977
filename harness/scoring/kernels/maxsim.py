"""MaxSim: a running maximum a lane."""

from harness.aggregators.maxsim import MaxSim
from harness.scoring.kernels.base import FINISH, KERNELS, LOWEST, START, UPDATE, Kernel, compiled


@compiled(START)
def start(state, _):
    state[0, :] = LOWEST


@compiled(UPDATE)
def update(sims, first, last, state, _):
    for p in range(first, last):
        for w in range(sims.shape[1]):
            state[0, w] = max(state[0, w], sims[p, w])


@compiled(FINISH)
def finish(state, patches, scores, _):
    scores[:] = state[0]


KERNELS[MaxSim] = Kernel(start, update, finish, rows=lambda maxsim: 1, parameter=lambda maxsim: 0.0)
