"""No command leaves torch with another number of threads than it was given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch

import harness
from tests.commands.test_synth import TINY as WORLD

GIVEN = 3  # no command's own choice, nor this machine's
SMALL = {"pool": "maxsim", "depth": 10}
COMMANDS = {
    "evaluate": {**SMALL, "lengths": [8]},
    "stress": {**SMALL, "counts": [2]},
    "gradients": {"pool": "maxsim", "lengths": [8], "pairs": 3},
    "synth": {"pool": "maxsim", **WORLD, "seeds": 1},
}


def threads() -> list[int]:
    """Torch's in this thread and in one that begins now, and MKL's, which are the whole process's."""
    told = re.findall(r"mkl_get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())
    with ThreadPoolExecutor(1) as pool:
        return [torch.get_num_threads(), pool.submit(torch.get_num_threads).result(), *map(int, told)]


@contextmanager
def unchanged_threads() -> Iterator[None]:
    """What runs inside leaves torch's threads as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(GIVEN)
    try:
        assert set(threads()) == {GIVEN}
        yield
        assert set(threads()) == {GIVEN}
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_leaves_torchs_threads_as_they_were(command, tiny, tmp_path):
    data = {} if command == "synth" else {"dataset": str(tiny)}
    with unchanged_threads():
        getattr(harness, command)(**data, **COMMANDS[command], output=tmp_path)
